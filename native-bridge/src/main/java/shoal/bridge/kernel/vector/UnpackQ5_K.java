package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.LEVEL_GROUPS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_WIDTH;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.codec.gguf.GgmlType;

/** Of {@link shoal.bridge.kernel.scalar.Q5_K}. */
final class UnpackQ5_K implements Unpacker {
    private static final int TOPS = 16;
    private static final int LEVELS = 48;

    @Override
    public Constants constants() {
        return Constants.PER_PART;
    }

    @Override
    public int largestLevel() {
        return 31;
    }

    @Override
    public void unpackScales(MemorySegment w, long offset, int columns, UnpackedRows to, int part) {
        KScales.unpackRow(w, offset, GgmlType.Q5_K.blockBytes(), columns, to, part);
    }

    @Override
    public void unpackLevels(MemorySegment w, long offset, int columns, UnpackedRows to, int at) {
        int blocks = columns / GgmlType.Q5_K.blockValues();
        for (int i = 0; i < blocks; i++) {
            unpackBlock(w, offset + (long) i * GgmlType.Q5_K.blockBytes(), to, at + i * GgmlType.Q5_K.blockValues());
        }
    }

    private static void unpackBlock(MemorySegment w, long block, UnpackedRows to, int at) {
        for (int half = 0; half < 8; half++) {
            int pair = half / 2;
            int side = half % 2 * SumOrder.LANES;
            for (int group = 0; group < LEVEL_GROUPS; group++) {
                int low = at + pair * 64 + side + group * LEVEL_WIDTH;
                ShortVector pairs = Lanes.unsignedLevels(w, block + LEVELS + half * SumOrder.LANES, group);
                ShortVector tops =
                        Lanes.unsignedLevels(w, block + TOPS + side, group).lanewise(VectorOperators.LSHR, 2 * pair);
                pairs.and((short) 15)
                        .or(tops.and((short) 1).lanewise(VectorOperators.LSHL, 4))
                        .intoArray(to.levels, low);
                pairs.lanewise(VectorOperators.LSHR, 4)
                        .or(tops.and((short) 2).lanewise(VectorOperators.LSHL, 3))
                        .intoArray(to.levels, low + HostBuffer.BLOCK);
            }
        }
    }
}
