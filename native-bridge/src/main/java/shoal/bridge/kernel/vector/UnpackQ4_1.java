package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.LEVEL_GROUPS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_WIDTH;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import shoal.bridge.kernel.SumOrder;
import shoal.codec.gguf.GgmlType;

/** Of {@link shoal.bridge.kernel.scalar.Q4_1}. */
final class UnpackQ4_1 implements Unpacker {
    @Override
    public Constants constants() {
        return Constants.PER_PART;
    }

    @Override
    public int largestLevel() {
        return 15;
    }

    @Override
    public void unpackScales(MemorySegment w, long offset, int columns, UnpackedRows to, int part) {
        int blocks = columns / GgmlType.Q4_1.blockValues();
        for (int i = 0; i < blocks; i++) {
            long block = offset + (long) i * GgmlType.Q4_1.blockBytes();
            to.scales[part + i] = Lanes.half(w, block);
            to.constants[part + i] = Lanes.half(w, block + 2);
        }
    }

    @Override
    public void unpackLevels(MemorySegment w, long offset, int columns, UnpackedRows to, int at) {
        int blocks = columns / GgmlType.Q4_1.blockValues();
        for (int i = 0; i < blocks; i++) {
            unpackBlock(w, offset + (long) i * GgmlType.Q4_1.blockBytes(), to, at + i * GgmlType.Q4_1.blockValues());
        }
    }

    private static void unpackBlock(MemorySegment w, long block, UnpackedRows to, int at) {
        for (int group = 0; group < LEVEL_GROUPS; group++) {
            int low = at + group * LEVEL_WIDTH;
            ShortVector pairs = Lanes.unsignedLevels(w, block + 4, group);
            pairs.and((short) 15).intoArray(to.levels, low);
            pairs.lanewise(VectorOperators.LSHR, 4).intoArray(to.levels, low + SumOrder.LANES);
        }
    }
}
