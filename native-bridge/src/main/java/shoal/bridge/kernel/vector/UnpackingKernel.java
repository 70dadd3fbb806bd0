package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.GROUPS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.bridge.kernel.host.HostWeights;

/**
 * Any type of blocks: pieces of rows are unpacked into a scratch that stays in the cache, to whole numbers in F32, and multiplied
 * there. With many tokens that costs next to nothing; with one it costs a write and a read of the first cache per weight.
 *
 * <p>The loops are the same for all types but for their constants, and small enough for the compiler ({@link RowKernel}).
 */
final class UnpackingKernel implements MatrixKernel {
    private static final int LANES = SumOrder.LANES;

    /** Columns of four rows that are unpacked at once for one token: 16 KiB. A multiple of every type's block. */
    private static final int CHUNK = 1024;

    /** Values unpacked at once for many tokens: 256 KiB, which the second cache has. */
    private static final int MANY = 65_536;

    private static final int MOST_ROWS = 16;

    private final Unpacker unpacker;
    private final @Nullable RowLoop loop;

    UnpackingKernel(Unpacker unpacker) {
        this(unpacker, null);
    }

    /** @param loop for one token, if the type has a loop of its own */
    UnpackingKernel(Unpacker unpacker, @Nullable RowLoop loop) {
        this.unpacker = unpacker;
        this.loop = loop;
    }

    @Override
    public void multiply(
            HostWeights w,
            int firstRow,
            int rowCount,
            HostBuffer x,
            int tokens,
            float[] out,
            int outStride,
            int outColumn) {
        if (tokens == 1 && loop != null) {
            oneToken(loop, w, firstRow, rowCount, x, out, outColumn);
        } else if (tokens == 1) {
            oneToken(w, firstRow, rowCount, x, out, outColumn);
        } else {
            manyTokens(w, firstRow, rowCount, x, tokens, out, outStride, outColumn);
        }
    }

    /** Four streams, a quarter of the rows apart, as in {@link RowKernel}. */
    private void oneToken(HostWeights w, int firstRow, int rowCount, HostBuffer x, float[] out, int outColumn) {
        int columns = w.columns();
        float[] lanes = new float[4 * LANES];
        UnpackedRows rows = new UnpackedRows(4, Math.min(CHUNK, columns));
        int quarter = (rowCount + 3) / 4;
        for (int r = 0; r < quarter; r++) {
            Arrays.fill(lanes, 0f);
            for (int column = 0; column < columns; column += CHUNK) {
                int count = Math.min(CHUNK, columns - column);
                long start = w.type().sizeBytes(column);
                for (int i = 0; i < 4; i++) {
                    long row = firstRow + Math.min(r + i * quarter, rowCount - 1);
                    unpack(w, row * w.rowBytes() + start, count, rows, i * rows.stride);
                }
                int part = column / HostBuffer.BLOCK;
                switch (unpacker.constants()) {
                    case NONE -> fourRows(rows, count, x, column, part, lanes);
                    case PER_PART -> fourRowsWithConstant(rows, count, x, column, part, lanes);
                    case PER_HALF -> fourRowsWithConstants(rows, count, x, column, part, lanes);
                }
            }
            for (int i = 0; i < 4; i++) {
                out[outColumn + Math.min(r + i * quarter, rowCount - 1)] = SumOrder.tree(lanes, i * LANES);
            }
        }
    }

    private void oneToken(
            RowLoop loop, HostWeights w, int firstRow, int rowCount, HostBuffer x, float[] out, int outColumn) {
        int columns = w.columns();
        int parts = columns / HostBuffer.BLOCK;
        float[] lanes = new float[LANES];
        UnpackedRows scales = UnpackedRows.ofScales(columns);
        int quarter = (rowCount + 3) / 4;
        for (int r = 0; r < quarter; r++) {
            for (int i = 0; i < 4; i++) {
                int index = Math.min(r + i * quarter, rowCount - 1);
                long row = (firstRow + index) * w.rowBytes();
                unpacker.unpackScales(w.bytes(), row, columns, scales, 0);
                scale(scales.scales, x.scales(), parts);
                scale(scales.constants, x.scales(), parts);
                loop.multiply(w.bytes(), row, columns, x, scales, lanes, 0);
                out[outColumn + index] = SumOrder.tree(lanes, 0);
            }
        }
    }

    private void unpack(HostWeights w, long offset, int columns, UnpackedRows to, int at) {
        unpacker.unpackScales(w.bytes(), offset, columns, to, at / HostBuffer.BLOCK);
        unpacker.unpackLevels(w.bytes(), offset, columns, to, at);
    }

    private static void scale(float[] values, float[] factors, int count) {
        for (int i = 0; i < count; i++) {
            values[i] *= factors[i];
        }
    }

    private void manyTokens(
            HostWeights w,
            int firstRow,
            int rowCount,
            HostBuffer x,
            int tokens,
            float[] out,
            int outStride,
            int outColumn) {
        int columns = w.columns();
        int height = Math.clamp(MANY / columns, 1, Math.min(MOST_ROWS, rowCount));
        float[] lanes = new float[4 * LANES];
        UnpackedRows rows = new UnpackedRows(height, columns);
        for (int block = 0; block < rowCount; block += height) {
            int end = Math.min(block + height, rowCount);
            for (int r = block; r < end; r++) {
                unpack(w, (firstRow + r) * w.rowBytes(), columns, rows, (r - block) * columns);
            }
            for (int t = 0; t < tokens; t += 4) {
                int b = Math.min(t + 1, tokens - 1);
                int c = Math.min(t + 2, tokens - 1);
                int d = Math.min(t + 3, tokens - 1);
                for (int r = block; r < end; r++) {
                    switch (unpacker.constants()) {
                        case NONE -> fourTokens(rows, r - block, columns, x, t, b, c, d, lanes);
                        case PER_PART -> fourTokensWithConstant(rows, r - block, columns, x, t, b, c, d, lanes);
                        case PER_HALF -> fourTokensWithConstants(rows, r - block, columns, x, t, b, c, d, lanes);
                    }
                    int to = outColumn + r;
                    out[t * outStride + to] = SumOrder.tree(lanes, 0);
                    out[b * outStride + to] = SumOrder.tree(lanes, (b - t) * LANES);
                    out[c * outStride + to] = SumOrder.tree(lanes, (c - t) * LANES);
                    out[d * outStride + to] = SumOrder.tree(lanes, (d - t) * LANES);
                }
            }
        }
    }

    /** Adds four rows' products with the activations from one index on to 4 * 16 lanes. */
    private static void fourRows(
            UnpackedRows rows, int columns, HostBuffer x, int activation, int activationScale, float[] lanes) {
        float[] levels = rows.levels;
        float[] scales = rows.scales;
        int stride = rows.stride;
        float[] activations = x.levels();
        float[] activationScales = x.scales();
        int parts = columns / HostBuffer.BLOCK;
        int partStride = stride / HostBuffer.BLOCK;
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sumA = FloatVector.fromArray(FLOATS, lanes, group * WIDTH);
            FloatVector sumB = FloatVector.fromArray(FLOATS, lanes, 1 * LANES + group * WIDTH);
            FloatVector sumC = FloatVector.fromArray(FLOATS, lanes, 2 * LANES + group * WIDTH);
            FloatVector sumD = FloatVector.fromArray(FLOATS, lanes, 3 * LANES + group * WIDTH);
            for (int part = 0; part < parts; part++) {
                int at = part * HostBuffer.BLOCK + group * WIDTH;
                FloatVector low = FloatVector.fromArray(FLOATS, activations, activation + at);
                FloatVector high = FloatVector.fromArray(FLOATS, activations, activation + at + LANES);
                float scale = activationScales[activationScale + part];
                sumA = add(low, high, levels, at, scale * scales[part], sumA);
                sumB = add(low, high, levels, stride + at, scale * scales[partStride + part], sumB);
                sumC = add(low, high, levels, 2 * stride + at, scale * scales[2 * partStride + part], sumC);
                sumD = add(low, high, levels, 3 * stride + at, scale * scales[3 * partStride + part], sumD);
            }
            sumA.intoArray(lanes, group * WIDTH);
            sumB.intoArray(lanes, 1 * LANES + group * WIDTH);
            sumC.intoArray(lanes, 2 * LANES + group * WIDTH);
            sumD.intoArray(lanes, 3 * LANES + group * WIDTH);
        }
    }

    /** The same, and the constants. */
    private static void fourRowsWithConstant(
            UnpackedRows rows, int columns, HostBuffer x, int activation, int activationScale, float[] lanes) {
        float[] levels = rows.levels;
        float[] scales = rows.scales;
        float[] constants = rows.constants;
        int stride = rows.stride;
        float[] activations = x.levels();
        float[] activationScales = x.scales();
        int parts = columns / HostBuffer.BLOCK;
        int partStride = stride / HostBuffer.BLOCK;
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sumA = FloatVector.fromArray(FLOATS, lanes, group * WIDTH);
            FloatVector sumB = FloatVector.fromArray(FLOATS, lanes, 1 * LANES + group * WIDTH);
            FloatVector sumC = FloatVector.fromArray(FLOATS, lanes, 2 * LANES + group * WIDTH);
            FloatVector sumD = FloatVector.fromArray(FLOATS, lanes, 3 * LANES + group * WIDTH);
            for (int part = 0; part < parts; part++) {
                int at = part * HostBuffer.BLOCK + group * WIDTH;
                FloatVector low = FloatVector.fromArray(FLOATS, activations, activation + at);
                FloatVector high = FloatVector.fromArray(FLOATS, activations, activation + at + LANES);
                float scale = activationScales[activationScale + part];
                FloatVector both = low.add(high);
                sumA = add(low, high, levels, at, scale * scales[part], sumA);
                sumA = both.fma(FloatVector.broadcast(FLOATS, scale * constants[part]), sumA);
                sumB = add(low, high, levels, stride + at, scale * scales[partStride + part], sumB);
                sumB = both.fma(FloatVector.broadcast(FLOATS, scale * constants[partStride + part]), sumB);
                sumC = add(low, high, levels, 2 * stride + at, scale * scales[2 * partStride + part], sumC);
                sumC = both.fma(FloatVector.broadcast(FLOATS, scale * constants[2 * partStride + part]), sumC);
                sumD = add(low, high, levels, 3 * stride + at, scale * scales[3 * partStride + part], sumD);
                sumD = both.fma(FloatVector.broadcast(FLOATS, scale * constants[3 * partStride + part]), sumD);
            }
            sumA.intoArray(lanes, group * WIDTH);
            sumB.intoArray(lanes, 1 * LANES + group * WIDTH);
            sumC.intoArray(lanes, 2 * LANES + group * WIDTH);
            sumD.intoArray(lanes, 3 * LANES + group * WIDTH);
        }
    }

    /** The same, and the constants times the factor of each half. */
    private static void fourRowsWithConstants(
            UnpackedRows rows, int columns, HostBuffer x, int activation, int activationScale, float[] lanes) {
        float[] levels = rows.levels;
        float[] scales = rows.scales;
        float[] constants = rows.constants;
        float[] factors = rows.factors;
        int stride = rows.stride;
        float[] activations = x.levels();
        float[] activationScales = x.scales();
        int parts = columns / HostBuffer.BLOCK;
        int partStride = stride / HostBuffer.BLOCK;
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sumA = FloatVector.fromArray(FLOATS, lanes, group * WIDTH);
            FloatVector sumB = FloatVector.fromArray(FLOATS, lanes, 1 * LANES + group * WIDTH);
            FloatVector sumC = FloatVector.fromArray(FLOATS, lanes, 2 * LANES + group * WIDTH);
            FloatVector sumD = FloatVector.fromArray(FLOATS, lanes, 3 * LANES + group * WIDTH);
            for (int part = 0; part < parts; part++) {
                int at = part * HostBuffer.BLOCK + group * WIDTH;
                FloatVector low = FloatVector.fromArray(FLOATS, activations, activation + at);
                FloatVector high = FloatVector.fromArray(FLOATS, activations, activation + at + LANES);
                float scale = activationScales[activationScale + part];
                sumA = add(low, high, levels, at, scale * scales[part], sumA);
                sumA = addConstants(low, high, factors, 2 * part, scale * constants[part], sumA);
                sumB = add(low, high, levels, stride + at, scale * scales[partStride + part], sumB);
                sumB = addConstants(
                        low, high, factors, 2 * (partStride + part), scale * constants[partStride + part], sumB);
                sumC = add(low, high, levels, 2 * stride + at, scale * scales[2 * partStride + part], sumC);
                sumC = addConstants(
                        low,
                        high,
                        factors,
                        2 * (2 * partStride + part),
                        scale * constants[2 * partStride + part],
                        sumC);
                sumD = add(low, high, levels, 3 * stride + at, scale * scales[3 * partStride + part], sumD);
                sumD = addConstants(
                        low,
                        high,
                        factors,
                        2 * (3 * partStride + part),
                        scale * constants[3 * partStride + part],
                        sumD);
            }
            sumA.intoArray(lanes, group * WIDTH);
            sumB.intoArray(lanes, 1 * LANES + group * WIDTH);
            sumC.intoArray(lanes, 2 * LANES + group * WIDTH);
            sumD.intoArray(lanes, 3 * LANES + group * WIDTH);
        }
    }

    /** One unpacked row times tokens a, b, c and d: 4 * 16 lanes. */
    private static void fourTokens(
            UnpackedRows rows, int row, int columns, HostBuffer x, int a, int b, int c, int d, float[] lanes) {
        float[] levels = rows.levels;
        float[] scales = rows.scales;
        float[] activations = x.levels();
        float[] activationScales = x.scales();
        int parts = columns / HostBuffer.BLOCK;
        int start = row * rows.stride;
        int firstPart = start / HostBuffer.BLOCK;
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sumA = FloatVector.zero(FLOATS);
            FloatVector sumB = FloatVector.zero(FLOATS);
            FloatVector sumC = FloatVector.zero(FLOATS);
            FloatVector sumD = FloatVector.zero(FLOATS);
            for (int part = 0; part < parts; part++) {
                int at = part * HostBuffer.BLOCK + group * WIDTH;
                FloatVector low = FloatVector.fromArray(FLOATS, levels, start + at);
                FloatVector high = FloatVector.fromArray(FLOATS, levels, start + at + LANES);
                float scale = scales[firstPart + part];
                sumA = add(low, high, activations, a * columns + at, scale * activationScales[a * parts + part], sumA);
                sumB = add(low, high, activations, b * columns + at, scale * activationScales[b * parts + part], sumB);
                sumC = add(low, high, activations, c * columns + at, scale * activationScales[c * parts + part], sumC);
                sumD = add(low, high, activations, d * columns + at, scale * activationScales[d * parts + part], sumD);
            }
            sumA.intoArray(lanes, group * WIDTH);
            sumB.intoArray(lanes, 1 * LANES + group * WIDTH);
            sumC.intoArray(lanes, 2 * LANES + group * WIDTH);
            sumD.intoArray(lanes, 3 * LANES + group * WIDTH);
        }
    }

    /** The same, and the constants. */
    private static void fourTokensWithConstant(
            UnpackedRows rows, int row, int columns, HostBuffer x, int a, int b, int c, int d, float[] lanes) {
        float[] levels = rows.levels;
        float[] scales = rows.scales;
        float[] constants = rows.constants;
        float[] activations = x.levels();
        float[] activationScales = x.scales();
        int parts = columns / HostBuffer.BLOCK;
        int start = row * rows.stride;
        int firstPart = start / HostBuffer.BLOCK;
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sumA = FloatVector.zero(FLOATS);
            FloatVector sumB = FloatVector.zero(FLOATS);
            FloatVector sumC = FloatVector.zero(FLOATS);
            FloatVector sumD = FloatVector.zero(FLOATS);
            for (int part = 0; part < parts; part++) {
                int at = part * HostBuffer.BLOCK + group * WIDTH;
                FloatVector low = FloatVector.fromArray(FLOATS, levels, start + at);
                FloatVector high = FloatVector.fromArray(FLOATS, levels, start + at + LANES);
                float scale = scales[firstPart + part];
                float constant = constants[firstPart + part];
                sumA = add(low, high, activations, a * columns + at, scale * activationScales[a * parts + part], sumA);
                sumA = addBoth(activations, a * columns + at, constant * activationScales[a * parts + part], sumA);
                sumB = add(low, high, activations, b * columns + at, scale * activationScales[b * parts + part], sumB);
                sumB = addBoth(activations, b * columns + at, constant * activationScales[b * parts + part], sumB);
                sumC = add(low, high, activations, c * columns + at, scale * activationScales[c * parts + part], sumC);
                sumC = addBoth(activations, c * columns + at, constant * activationScales[c * parts + part], sumC);
                sumD = add(low, high, activations, d * columns + at, scale * activationScales[d * parts + part], sumD);
                sumD = addBoth(activations, d * columns + at, constant * activationScales[d * parts + part], sumD);
            }
            sumA.intoArray(lanes, group * WIDTH);
            sumB.intoArray(lanes, 1 * LANES + group * WIDTH);
            sumC.intoArray(lanes, 2 * LANES + group * WIDTH);
            sumD.intoArray(lanes, 3 * LANES + group * WIDTH);
        }
    }

    /** The same, and the constants times the factor of each half. */
    private static void fourTokensWithConstants(
            UnpackedRows rows, int row, int columns, HostBuffer x, int a, int b, int c, int d, float[] lanes) {
        float[] levels = rows.levels;
        float[] scales = rows.scales;
        float[] constants = rows.constants;
        float[] factors = rows.factors;
        float[] activations = x.levels();
        float[] activationScales = x.scales();
        int parts = columns / HostBuffer.BLOCK;
        int start = row * rows.stride;
        int firstPart = start / HostBuffer.BLOCK;
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sumA = FloatVector.zero(FLOATS);
            FloatVector sumB = FloatVector.zero(FLOATS);
            FloatVector sumC = FloatVector.zero(FLOATS);
            FloatVector sumD = FloatVector.zero(FLOATS);
            for (int part = 0; part < parts; part++) {
                int at = part * HostBuffer.BLOCK + group * WIDTH;
                FloatVector low = FloatVector.fromArray(FLOATS, levels, start + at);
                FloatVector high = FloatVector.fromArray(FLOATS, levels, start + at + LANES);
                float scale = scales[firstPart + part];
                float constant = constants[firstPart + part];
                float lowFactor = factors[2 * (firstPart + part)];
                float highFactor = factors[2 * (firstPart + part) + 1];
                sumA = add(low, high, activations, a * columns + at, scale * activationScales[a * parts + part], sumA);
                sumA = addHalves(
                        activations,
                        a * columns + at,
                        lowFactor,
                        highFactor,
                        constant * activationScales[a * parts + part],
                        sumA);
                sumB = add(low, high, activations, b * columns + at, scale * activationScales[b * parts + part], sumB);
                sumB = addHalves(
                        activations,
                        b * columns + at,
                        lowFactor,
                        highFactor,
                        constant * activationScales[b * parts + part],
                        sumB);
                sumC = add(low, high, activations, c * columns + at, scale * activationScales[c * parts + part], sumC);
                sumC = addHalves(
                        activations,
                        c * columns + at,
                        lowFactor,
                        highFactor,
                        constant * activationScales[c * parts + part],
                        sumC);
                sumD = add(low, high, activations, d * columns + at, scale * activationScales[d * parts + part], sumD);
                sumD = addHalves(
                        activations,
                        d * columns + at,
                        lowFactor,
                        highFactor,
                        constant * activationScales[d * parts + part],
                        sumD);
            }
            sumA.intoArray(lanes, group * WIDTH);
            sumB.intoArray(lanes, 1 * LANES + group * WIDTH);
            sumC.intoArray(lanes, 2 * LANES + group * WIDTH);
            sumD.intoArray(lanes, 3 * LANES + group * WIDTH);
        }
    }

    private static FloatVector add(
            FloatVector low, FloatVector high, float[] others, int at, float scale, FloatVector sum) {
        FloatVector product = low.mul(FloatVector.fromArray(FLOATS, others, at));
        product = high.fma(FloatVector.fromArray(FLOATS, others, at + LANES), product);
        return product.fma(FloatVector.broadcast(FLOATS, scale), sum);
    }

    private static FloatVector addConstants(
            FloatVector low, FloatVector high, float[] factors, int at, float scale, FloatVector sum) {
        FloatVector product = low.mul(FloatVector.broadcast(FLOATS, factors[at]));
        product = high.fma(FloatVector.broadcast(FLOATS, factors[at + 1]), product);
        return product.fma(FloatVector.broadcast(FLOATS, scale), sum);
    }

    private static FloatVector addBoth(float[] activations, int at, float scale, FloatVector sum) {
        FloatVector both = FloatVector.fromArray(FLOATS, activations, at)
                .add(FloatVector.fromArray(FLOATS, activations, at + LANES));
        return both.fma(FloatVector.broadcast(FLOATS, scale), sum);
    }

    private static FloatVector addHalves(
            float[] activations, int at, float lowFactor, float highFactor, float scale, FloatVector sum) {
        FloatVector product =
                FloatVector.fromArray(FLOATS, activations, at).mul(FloatVector.broadcast(FLOATS, lowFactor));
        product = FloatVector.fromArray(FLOATS, activations, at + LANES)
                .fma(FloatVector.broadcast(FLOATS, highFactor), product);
        return product.fma(FloatVector.broadcast(FLOATS, scale), sum);
    }
}
