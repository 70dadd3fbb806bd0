package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.GROUPS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;

/** Rows of {@link shoal.bridge.kernel.scalar.Q4_K} with one token. */
final class VectorQ4_K implements RowLoop {
    private static final int BLOCK_BYTES = 144;
    private static final int LEVELS = 16;

    @Override
    public void multiply(
            MemorySegment w, long row, int columns, HostBuffer x, UnpackedRows rows, float[] lanes, int at) {
        int parts = columns / HostBuffer.BLOCK;
        float[] levels = x.levels();
        float[] scales = rows.scales;
        float[] constants = rows.constants;
        for (int group = 0; group < GROUPS; group++) {
            FloatVector sum = FloatVector.zero(FLOATS);
            for (int part = 0; part < parts; part += 2) {
                int column = part * HostBuffer.BLOCK + group * WIDTH;
                long offset = LEVELS + (long) (part >> 3) * BLOCK_BYTES + (part & 6) * 16;
                ByteVector pairs = Lanes.bytes(w, row + offset, group);
                ByteVector morePairs = Lanes.bytes(w, row + offset + SumOrder.LANES, group);
                FloatVector low = FloatVector.fromArray(FLOATS, levels, column);
                FloatVector high = FloatVector.fromArray(FLOATS, levels, column + SumOrder.LANES);
                FloatVector both = low.add(high);
                sum = Lanes.lowHalves(morePairs, group)
                        .fma(high, Lanes.lowHalves(pairs, group).mul(low))
                        .fma(FloatVector.broadcast(FLOATS, scales[part]), sum);
                sum = both.fma(FloatVector.broadcast(FLOATS, constants[part]), sum);
                low = FloatVector.fromArray(FLOATS, levels, column + HostBuffer.BLOCK);
                high = FloatVector.fromArray(FLOATS, levels, column + HostBuffer.BLOCK + SumOrder.LANES);
                both = low.add(high);
                // the upper halves of bytes come less 8 and 16 times as large: all is exact
                FloatVector shift = both.mul(8f);
                low = low.mul(0.0625f);
                high = high.mul(0.0625f);
                sum = Lanes.highHalvesLess8Times16(morePairs, group)
                        .fma(high, Lanes.highHalvesLess8Times16(pairs, group).fma(low, shift))
                        .fma(FloatVector.broadcast(FLOATS, scales[part + 1]), sum);
                sum = both.fma(FloatVector.broadcast(FLOATS, constants[part + 1]), sum);
            }
            sum.intoArray(lanes, at + group * WIDTH);
        }
    }
}
