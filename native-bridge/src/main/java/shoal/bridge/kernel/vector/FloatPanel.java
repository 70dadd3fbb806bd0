package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorShuffle;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;

/** Levels as F32: products and their sums are whole numbers below 2^24, exact. For levels of 8 bits. */
final class FloatPanel extends Panel {
    private static final VectorShuffle<Float> BY_8 = swap(8);
    private static final VectorShuffle<Float> BY_4 = swap(4);
    private static final VectorShuffle<Float> BY_2 = swap(2);
    private static final VectorShuffle<Float> BY_1 = swap(1);
    private static final VectorMask<Float> BIT_8 = VectorMask.fromLong(FLOATS, 0xff00);
    private static final VectorMask<Float> BIT_4 = VectorMask.fromLong(FLOATS, 0xf0f0);
    private static final VectorMask<Float> BIT_2 = VectorMask.fromLong(FLOATS, 0xcccc);
    private static final VectorMask<Float> BIT_1 = VectorMask.fromLong(FLOATS, 0xaaaa);

    private final float[] products = new float[TILE];
    private final float[] square = new float[WIDTH * WIDTH];

    /** (column, row). */
    private final float[] levels;

    FloatPanel(Unpacker unpacker, int width) {
        super(unpacker, width);
        levels = new float[ROWS * width];
    }

    private static VectorShuffle<Float> swap(int distance) {
        return VectorShuffle.fromOp(FLOATS, lane -> (lane ^ distance) % WIDTH);
    }

    @Override
    int turned() {
        return WIDTH;
    }

    @Override
    void turn(int row, int column) {
        for (int i = 0; i < WIDTH; i++) {
            int from = (row + i) * rows.stride + column;
            FloatVector values = Lanes.floats(rows.levels, from);
            if (unpacker.scalesHalves()) {
                values = values.mul((float) rows.halfScales[from / SumOrder.LANES]);
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

    @Override
    void block(HostBuffer x, int part, int[] starts) {
        block(
                levels,
                part * BLOCK * ROWS,
                x.levels(),
                starts[0],
                starts[1],
                starts[2],
                starts[3],
                starts[4],
                starts[5],
                products);
    }

    @Override
    void add(int part, float[] tokenScales, float[] lanes, int lane) {
        add(products, scales, part * ROWS, tokenScales, lanes, lane);
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
}
