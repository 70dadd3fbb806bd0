package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.GROUPS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;

/** Blocks of an F16 scale and 16 bytes: value j in the low half of byte j, value j + 16 in the high one, both plus 8. */
final class VectorQ4_0 extends RowKernel {
    private static final int BLOCK_BYTES = 18;

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
                FloatVector shift = low.add(high).mul(-8f);
                float scale = scales[t * blocks + block];
                long offset = (long) block * BLOCK_BYTES;
                sumA = step(w, a + offset, group, low, high, shift, scale, sumA);
                sumB = step(w, b + offset, group, low, high, shift, scale, sumB);
                sumC = step(w, c + offset, group, low, high, shift, scale, sumC);
                sumD = step(w, d + offset, group, low, high, shift, scale, sumD);
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
                ByteVector pairs = Lanes.bytes(w, offset + 2, group);
                FloatVector low = Lanes.lowHalves(pairs, group).sub(8f);
                FloatVector high = Lanes.highHalves(pairs, group).sub(8f);
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

    /** The levels are 8 less than their bits: shift takes that away, once for all rows. */
    private static FloatVector step(
            MemorySegment w,
            long offset,
            int group,
            FloatVector low,
            FloatVector high,
            FloatVector shift,
            float scale,
            FloatVector sum) {
        ByteVector pairs = Lanes.bytes(w, offset + 2, group);
        FloatVector product = Lanes.lowHalves(pairs, group).fma(low, shift);
        product = Lanes.highHalves(pairs, group).fma(high, product);
        return product.fma(FloatVector.broadcast(FLOATS, Lanes.half(w, offset) * scale), sum);
    }

    private static FloatVector add(
            FloatVector low, FloatVector high, float[] levels, int at, float scale, FloatVector sum) {
        FloatVector product = low.mul(FloatVector.fromArray(FLOATS, levels, at));
        product = high.fma(FloatVector.fromArray(FLOATS, levels, at + SumOrder.LANES), product);
        return product.fma(FloatVector.broadcast(FLOATS, scale), sum);
    }
}
