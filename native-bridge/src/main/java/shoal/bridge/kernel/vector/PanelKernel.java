package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorShuffle;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.bridge.kernel.host.HostWeights;

/**
 * Many tokens: panels of {@link #ROWS} rows are unpacked to whole numbers in F32, a column's rows beside each other, which the second
 * cache holds while all tokens pass, {@link #TOKENS} at a time. Rows lie in lanes, so a block's products are added without
 * any exchange between lanes; they and their sums are whole numbers below 2^24, exact in F32.
 */
final class PanelKernel {
    private static final int LANES = SumOrder.LANES;
    private static final int BLOCK = HostBuffer.BLOCK;

    /** Two vectors of rows times six tokens: twelve sums in registers, eight loads for twelve multiplications. */
    private static final int ROWS = 2 * WIDTH;

    private static final int TOKENS = 6;

    /** Columns unpacked at once: 256 KiB with 512 bits. A multiple of every type's block and of 16 of ours. */
    private static final int CHUNK = 2048;

    /** Floats of one lane, token after token. */
    private static final int TILE = TOKENS * ROWS;

    private static final VectorShuffle<Float> BY_8 = swap(8);
    private static final VectorShuffle<Float> BY_4 = swap(4);
    private static final VectorShuffle<Float> BY_2 = swap(2);
    private static final VectorShuffle<Float> BY_1 = swap(1);
    private static final VectorMask<Float> BIT_8 = VectorMask.fromLong(FLOATS, 0xff00);
    private static final VectorMask<Float> BIT_4 = VectorMask.fromLong(FLOATS, 0xf0f0);
    private static final VectorMask<Float> BIT_2 = VectorMask.fromLong(FLOATS, 0xcccc);
    private static final VectorMask<Float> BIT_1 = VectorMask.fromLong(FLOATS, 0xaaaa);

    private final Unpacker unpacker;

    PanelKernel(Unpacker unpacker) {
        this.unpacker = unpacker;
    }

    private static VectorShuffle<Float> swap(int distance) {
        return VectorShuffle.fromOp(FLOATS, lane -> (lane ^ distance) % WIDTH);
    }

    /** As {@link MatrixKernel#multiply}. */
    void multiply(
            HostWeights w,
            int firstRow,
            int rowCount,
            HostBuffer x,
            int tokens,
            float[] out,
            int outStride,
            int outColumn) {
        int columns = w.columns();
        int width = Math.min(CHUNK, columns);
        boolean whole = width == columns;
        int tiles = (tokens + TOKENS - 1) / TOKENS;
        Panel panel = new Panel(width);
        float[] lanes = new float[(whole ? 1 : tiles) * LANES * TILE];
        for (int row = 0; row < rowCount; row += ROWS) {
            int rows = Math.min(ROWS, rowCount - row);
            Arrays.fill(lanes, 0f);
            for (int column = 0; column < columns; column += width) {
                int count = Math.min(width, columns - column);
                panel.unpack(unpacker, w, firstRow + row, rows, column, count);
                for (int tile = 0; tile < tiles; tile++) {
                    int at = whole ? 0 : tile * LANES * TILE;
                    if (whole && tile > 0) {
                        Arrays.fill(lanes, 0f);
                    }
                    multiply(panel, x, tile * TOKENS, tokens, columns, column, count, lanes, at);
                    if (column + count == columns) {
                        tree(lanes, at);
                        for (int t = 0; t < Math.min(TOKENS, tokens - tile * TOKENS); t++) {
                            int to = (tile * TOKENS + t) * outStride + outColumn + row;
                            System.arraycopy(lanes, at + t * ROWS, out, to, rows);
                        }
                    }
                }
            }
        }
    }

    /** Adds the panel's blocks, times six tokens, to their lanes. */
    private void multiply(
            Panel panel,
            HostBuffer x,
            int token,
            int tokens,
            int columns,
            int column,
            int count,
            float[] lanes,
            int at) {
        int last = tokens - 1;
        int b = Math.min(token + 1, last);
        int c = Math.min(token + 2, last);
        int d = Math.min(token + 3, last);
        int e = Math.min(token + 4, last);
        int f = Math.min(token + 5, last);
        int parts = columns / BLOCK;
        int firstPart = column / BLOCK;
        boolean constants = unpacker.constants() != Unpacker.Constants.NONE;
        float[] scales = panel.tokenScales;
        float[] products = panel.products;
        for (int part = 0; part < count / BLOCK; part++) {
            int all = firstPart + part;
            int start = all * BLOCK;
            int lane = at + all % LANES * TILE;
            scales[0] = x.scales()[token * parts + all];
            scales[1] = x.scales()[b * parts + all];
            scales[2] = x.scales()[c * parts + all];
            scales[3] = x.scales()[d * parts + all];
            scales[4] = x.scales()[e * parts + all];
            scales[5] = x.scales()[f * parts + all];
            block(
                    panel.levels,
                    part * BLOCK * ROWS,
                    x.levels(),
                    token * columns + start,
                    b * columns + start,
                    c * columns + start,
                    d * columns + start,
                    e * columns + start,
                    f * columns + start,
                    products);
            add(products, panel.scales, part * ROWS, scales, lanes, lane);
            if (constants) {
                for (int i = 0; i < TOKENS; i++) {
                    int t = Math.min(token + i, last);
                    constant(panel, part, x, t * parts + all, scales[i], lanes, lane + i * ROWS);
                }
            }
        }
    }

    /** 32 columns of the panel times those of six tokens. */
    private static void block(
            float[] w, int at, float[] x, int a, int b, int c, int d, int e, int f, float[] products) {
        FloatVector a0 = FloatVector.zero(FLOATS);
        FloatVector a1 = a0;
        FloatVector b0 = a0;
        FloatVector b1 = a0;
        FloatVector c0 = a0;
        FloatVector c1 = a0;
        FloatVector d0 = a0;
        FloatVector d1 = a0;
        FloatVector e0 = a0;
        FloatVector e1 = a0;
        FloatVector f0 = a0;
        FloatVector f1 = a0;
        for (int i = 0; i < BLOCK; i++) {
            FloatVector w0 = FloatVector.fromArray(FLOATS, w, at + i * ROWS);
            FloatVector w1 = FloatVector.fromArray(FLOATS, w, at + i * ROWS + WIDTH);
            FloatVector v = FloatVector.broadcast(FLOATS, x[a + i]);
            a0 = w0.fma(v, a0);
            a1 = w1.fma(v, a1);
            v = FloatVector.broadcast(FLOATS, x[b + i]);
            b0 = w0.fma(v, b0);
            b1 = w1.fma(v, b1);
            v = FloatVector.broadcast(FLOATS, x[c + i]);
            c0 = w0.fma(v, c0);
            c1 = w1.fma(v, c1);
            v = FloatVector.broadcast(FLOATS, x[d + i]);
            d0 = w0.fma(v, d0);
            d1 = w1.fma(v, d1);
            v = FloatVector.broadcast(FLOATS, x[e + i]);
            e0 = w0.fma(v, e0);
            e1 = w1.fma(v, e1);
            v = FloatVector.broadcast(FLOATS, x[f + i]);
            f0 = w0.fma(v, f0);
            f1 = w1.fma(v, f1);
        }
        a0.intoArray(products, 0);
        a1.intoArray(products, WIDTH);
        b0.intoArray(products, ROWS);
        b1.intoArray(products, ROWS + WIDTH);
        c0.intoArray(products, 2 * ROWS);
        c1.intoArray(products, 2 * ROWS + WIDTH);
        d0.intoArray(products, 3 * ROWS);
        d1.intoArray(products, 3 * ROWS + WIDTH);
        e0.intoArray(products, 4 * ROWS);
        e1.intoArray(products, 4 * ROWS + WIDTH);
        f0.intoArray(products, 5 * ROWS);
        f1.intoArray(products, 5 * ROWS + WIDTH);
    }

    /** lanes += products * (scale of the row * scale of the token), for a tile. */
    private static void add(float[] products, float[] scales, int scale, float[] others, float[] lanes, int lane) {
        FloatVector s0 = FloatVector.fromArray(FLOATS, scales, scale);
        FloatVector s1 = FloatVector.fromArray(FLOATS, scales, scale + WIDTH);
        for (int t = 0; t < TOKENS; t++) {
            int at = t * ROWS;
            FloatVector other = FloatVector.broadcast(FLOATS, others[t]);
            FloatVector.fromArray(FLOATS, products, at)
                    .fma(s0.mul(other), FloatVector.fromArray(FLOATS, lanes, lane + at))
                    .intoArray(lanes, lane + at);
            FloatVector.fromArray(FLOATS, products, at + WIDTH)
                    .fma(s1.mul(other), FloatVector.fromArray(FLOATS, lanes, lane + at + WIDTH))
                    .intoArray(lanes, lane + at + WIDTH);
        }
    }

    private static void add(FloatVector product, FloatVector scale, float other, float[] lanes, int lane) {
        product.fma(scale.mul(other), FloatVector.fromArray(FLOATS, lanes, lane))
                .intoArray(lanes, lane);
    }

    /** One token's sum of levels times the rows' constants. */
    private void constant(Panel panel, int part, HostBuffer x, int otherPart, float scale, float[] lanes, int lane) {
        if (unpacker.constants() == Unpacker.Constants.PER_PART) {
            float sum = x.levelSums()[otherPart];
            for (int i = 0; i < ROWS; i += WIDTH) {
                FloatVector constant = FloatVector.fromArray(FLOATS, panel.constants, part * ROWS + i);
                add(FloatVector.broadcast(FLOATS, sum), constant, scale, lanes, lane + i);
            }
        } else {
            int at = otherPart * BLOCK;
            float low = sum(x.levels8(), at);
            float high = sum(x.levels8(), at + LANES);
            for (int i = 0; i < ROWS; i += WIDTH) {
                FloatVector constant = FloatVector.fromArray(FLOATS, panel.constants, part * ROWS + i);
                FloatVector sum = FloatVector.fromArray(FLOATS, panel.factors, 2 * part * ROWS + i)
                        .mul(low)
                        .add(FloatVector.fromArray(FLOATS, panel.factors, (2 * part + 1) * ROWS + i)
                                .mul(high));
                add(sum, constant, scale, lanes, lane + i);
            }
        }
    }

    private static int sum(byte[] levels, int at) {
        int sum = 0;
        for (int i = 0; i < LANES; i++) {
            sum += levels[at + i];
        }
        return sum;
    }

    /** As {@link SumOrder#tree}, of a whole tile; the sums are where lane 0 was. */
    private static void tree(float[] lanes, int at) {
        for (int half = LANES / 2; half >= 1; half /= 2) {
            for (int i = at; i < at + half * TILE; i += WIDTH) {
                FloatVector.fromArray(FLOATS, lanes, i)
                        .add(FloatVector.fromArray(FLOATS, lanes, i + half * TILE))
                        .intoArray(lanes, i);
            }
        }
    }

    /** Some columns of {@link #ROWS} rows, a column's rows beside each other. */
    private static final class Panel {
        private final UnpackedRows rows;
        private final float[] products = new float[TILE];
        private final float[] tokenScales = new float[TOKENS];
        private final float[] square = new float[WIDTH * WIDTH];
        private final float[] levels;

        /** (block of 32 columns, row), as the constants; factors are (half of such a block, row). */
        private final float[] scales;

        private final float[] constants;
        private final float[] factors;

        Panel(int width) {
            rows = new UnpackedRows(ROWS, width);
            levels = new float[ROWS * width];
            scales = new float[ROWS * width / BLOCK];
            constants = new float[scales.length];
            factors = new float[2 * scales.length];
        }

        /** Rows beyond count are left from before: their sums are never looked at. */
        void unpack(Unpacker unpacker, HostWeights w, int firstRow, int count, int column, int columns) {
            long start = w.type().sizeBytes(column);
            int partStride = rows.stride / BLOCK;
            for (int r = 0; r < count; r++) {
                long offset = (firstRow + r) * w.rowBytes() + start;
                unpacker.unpackScales(w.bytes(), offset, columns, rows, r * partStride);
                unpacker.unpackLevels(w.bytes(), offset, columns, rows, r * rows.stride);
            }
            for (int r = 0; r < ROWS; r += WIDTH) {
                for (int c = 0; c < columns; c += WIDTH) {
                    turn(unpacker.scalesHalves(), r, c);
                }
            }
            for (int part = 0; part < columns / BLOCK; part++) {
                for (int r = 0; r < ROWS; r++) {
                    int from = r * partStride + part;
                    scales[part * ROWS + r] = rows.scales[from];
                    constants[part * ROWS + r] = rows.constants[from];
                    factors[2 * part * ROWS + r] = rows.factors[2 * from];
                    factors[(2 * part + 1) * ROWS + r] = rows.factors[2 * from + 1];
                }
            }
        }

        /** Turns WIDTH rows of as many columns over. */
        private void turn(boolean scalesHalves, int row, int column) {
            for (int i = 0; i < WIDTH; i++) {
                int from = (row + i) * rows.stride + column;
                FloatVector values = Lanes.floats(rows.levels, from);
                if (scalesHalves) {
                    values = values.mul((float) rows.halfScales[from / LANES]);
                }
                values.intoArray(square, i * WIDTH);
            }
            if (WIDTH > 8) {
                exchange(square, 8, BY_8, BIT_8);
            }
            if (WIDTH > 4) {
                exchange(square, 4, BY_4, BIT_4);
            }
            exchange(square, 2, BY_2, BIT_2);
            exchange(square, 1, BY_1, BIT_1);
            for (int i = 0; i < WIDTH; i++) {
                FloatVector.fromArray(FLOATS, square, i * WIDTH).intoArray(levels, (column + i) * ROWS + row);
            }
        }

        /** Exchanges the off-diagonal quarters of each square of twice the distance. */
        private static void exchange(float[] square, int distance, VectorShuffle<Float> swap, VectorMask<Float> bit) {
            for (int k = 0; k < WIDTH / 2; k++) {
                int i = (k / distance * 2 * distance + k % distance) * WIDTH;
                int j = i + distance * WIDTH;
                FloatVector a = FloatVector.fromArray(FLOATS, square, i);
                FloatVector b = FloatVector.fromArray(FLOATS, square, j);
                a.blend(b.rearrange(swap), bit).intoArray(square, i);
                a.rearrange(swap).blend(b, bit).intoArray(square, j);
            }
        }
    }
}
