package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.GROUPS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;

/** Blocks of an F16 scale and 32 signed bytes. Products and their sums of two are whole numbers below 2^24, exact in F32. */
final class VectorQ8_0 extends RowKernel {
    private static final int BLOCK_BYTES = 34;

    @Override
    void fourRows(MemorySegment w, long a, long b, long c, long d, int columns, HostBuffer x, int t, float[] lanes) {
        int blocks = columns / HostBuffer.BLOCK;
        float[] levels = x.levels();
        float[] scales = x.scales();
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sumA = FloatVector.zero(FLOATS);
            FloatVector sumB = FloatVector.zero(FLOATS);
            FloatVector sumC = FloatVector.zero(FLOATS);
            FloatVector sumD = FloatVector.zero(FLOATS);
            int at = t * columns + group * WIDTH;
            for (int block = 0; block < blocks; block++) {
                FloatVector low = FloatVector.fromArray(FLOATS, levels, at + block * HostBuffer.BLOCK);
                FloatVector high =
                        FloatVector.fromArray(FLOATS, levels, at + block * HostBuffer.BLOCK + SumOrder.LANES);
                float scale = scales[t * blocks + block];
                long offset = (long) block * BLOCK_BYTES;
                sumA = high(w, a + offset, group)
                        .fma(high, low(w, a + offset, group).mul(low))
                        .fma(FloatVector.broadcast(FLOATS, Lanes.half(w, a + offset) * scale), sumA);
                sumB = high(w, b + offset, group)
                        .fma(high, low(w, b + offset, group).mul(low))
                        .fma(FloatVector.broadcast(FLOATS, Lanes.half(w, b + offset) * scale), sumB);
                sumC = high(w, c + offset, group)
                        .fma(high, low(w, c + offset, group).mul(low))
                        .fma(FloatVector.broadcast(FLOATS, Lanes.half(w, c + offset) * scale), sumC);
                sumD = high(w, d + offset, group)
                        .fma(high, low(w, d + offset, group).mul(low))
                        .fma(FloatVector.broadcast(FLOATS, Lanes.half(w, d + offset) * scale), sumD);
            }
            sumA.intoArray(lanes, group * WIDTH);
            sumB.intoArray(lanes, SumOrder.LANES + group * WIDTH);
            sumC.intoArray(lanes, 2 * SumOrder.LANES + group * WIDTH);
            sumD.intoArray(lanes, 3 * SumOrder.LANES + group * WIDTH);
        }
    }

    @Override
    void fourTokens(MemorySegment w, long row, int columns, HostBuffer x, int a, int b, int c, int d, float[] lanes) {
        int blocks = columns / HostBuffer.BLOCK;
        float[] levels = x.levels();
        float[] scales = x.scales();
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sumA = FloatVector.zero(FLOATS);
            FloatVector sumB = FloatVector.zero(FLOATS);
            FloatVector sumC = FloatVector.zero(FLOATS);
            FloatVector sumD = FloatVector.zero(FLOATS);
            for (int block = 0; block < blocks; block++) {
                long offset = row + (long) block * BLOCK_BYTES;
                FloatVector low = low(w, offset, group);
                FloatVector high = high(w, offset, group);
                float scale = Lanes.half(w, offset);
                int at = block * HostBuffer.BLOCK + group * WIDTH;
                sumA = add(low, high, levels, a * columns + at, scale * scales[a * blocks + block], sumA);
                sumB = add(low, high, levels, b * columns + at, scale * scales[b * blocks + block], sumB);
                sumC = add(low, high, levels, c * columns + at, scale * scales[c * blocks + block], sumC);
                sumD = add(low, high, levels, d * columns + at, scale * scales[d * blocks + block], sumD);
            }
            sumA.intoArray(lanes, group * WIDTH);
            sumB.intoArray(lanes, SumOrder.LANES + group * WIDTH);
            sumC.intoArray(lanes, 2 * SumOrder.LANES + group * WIDTH);
            sumD.intoArray(lanes, 3 * SumOrder.LANES + group * WIDTH);
        }
    }

    private static FloatVector add(
            FloatVector low, FloatVector high, float[] levels, int at, float scale, FloatVector sum) {
        FloatVector product = low.mul(FloatVector.fromArray(FLOATS, levels, at));
        product = high.fma(FloatVector.fromArray(FLOATS, levels, at + SumOrder.LANES), product);
        return product.fma(FloatVector.broadcast(FLOATS, scale), sum);
    }

    /** Values 0..15 of the block, one group of them. */
    private static FloatVector low(MemorySegment w, long offset, int group) {
        return Lanes.signedBytes(w, offset + 2, group);
    }

    /** Values 16..31. */
    private static FloatVector high(MemorySegment w, long offset, int group) {
        return Lanes.signedBytes(w, offset + 18, group);
    }
}
