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
        twoRows(w, a, b, columns, x, t, lanes, 0);
        twoRows(w, c, d, columns, x, t, lanes, 2 * SumOrder.LANES);
    }

    /** Two at a time: the compiler gives up on a loop over four, which has too many nodes to inline. */
    private static void twoRows(
            MemorySegment w, long a, long b, int columns, HostBuffer x, int t, float[] lanes, int at) {
        int blocks = columns / HostBuffer.BLOCK;
        float[] levels = x.levels();
        float[] scales = x.scales();
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sumA = FloatVector.zero(FLOATS);
            FloatVector sumB = FloatVector.zero(FLOATS);
            int start = t * columns + group * WIDTH;
            for (int block = 0; block < blocks; block++) {
                FloatVector low = FloatVector.fromArray(FLOATS, levels, start + block * HostBuffer.BLOCK);
                FloatVector high =
                        FloatVector.fromArray(FLOATS, levels, start + block * HostBuffer.BLOCK + SumOrder.LANES);
                // low levels are 8 less than their bits, which shift takes away; high ones come 16 times as large: all
                // is exact
                FloatVector shift = low.mul(-8f);
                FloatVector highBy16 = high.mul(0.0625f);
                float scale = scales[t * blocks + block];
                long offset = (long) block * BLOCK_BYTES;
                ByteVector pairsA = Lanes.bytes(w, a + offset + 2, group);
                sumA = Lanes.highHalvesLess8Times16(pairsA, group)
                        .fma(highBy16, Lanes.lowHalves(pairsA, group).fma(low, shift))
                        .fma(FloatVector.broadcast(FLOATS, Lanes.half(w, a + offset) * scale), sumA);
                ByteVector pairsB = Lanes.bytes(w, b + offset + 2, group);
                sumB = Lanes.highHalvesLess8Times16(pairsB, group)
                        .fma(highBy16, Lanes.lowHalves(pairsB, group).fma(low, shift))
                        .fma(FloatVector.broadcast(FLOATS, Lanes.half(w, b + offset) * scale), sumB);
            }
            sumA.intoArray(lanes, at + group * WIDTH);
            sumB.intoArray(lanes, at + SumOrder.LANES + group * WIDTH);
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
                FloatVector high = Lanes.highHalvesLess8Times16(pairs, group).mul(0.0625f);
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
}
