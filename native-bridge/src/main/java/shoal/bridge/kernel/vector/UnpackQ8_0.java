package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.LEVEL_GROUPS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_WIDTH;

import java.lang.foreign.MemorySegment;
import shoal.bridge.kernel.SumOrder;
import shoal.codec.gguf.GgmlType;

/** Of {@link shoal.bridge.kernel.scalar.Q8_0}. */
final class UnpackQ8_0 implements Unpacker {
    @Override
    public Constants constants() {
        return Constants.NONE;
    }

    @Override
    public void unpackScales(MemorySegment w, long offset, int columns, UnpackedRows to, int part) {
        int blocks = columns / GgmlType.Q8_0.blockValues();
        for (int i = 0; i < blocks; i++) {
            long block = offset + (long) i * GgmlType.Q8_0.blockBytes();
            to.scales[part + i] = Lanes.half(w, block);
        }
    }

    @Override
    public void unpackLevels(MemorySegment w, long offset, int columns, UnpackedRows to, int at) {
        int blocks = columns / GgmlType.Q8_0.blockValues();
        for (int i = 0; i < blocks; i++) {
            unpackBlock(w, offset + (long) i * GgmlType.Q8_0.blockBytes(), to, at + i * GgmlType.Q8_0.blockValues());
        }
    }

    private static void unpackBlock(MemorySegment w, long block, UnpackedRows to, int at) {
        for (int group = 0; group < LEVEL_GROUPS; group++) {
            int low = at + group * LEVEL_WIDTH;
            Lanes.signedLevels(w, block + 2, group).intoArray(to.levels, low);
            Lanes.signedLevels(w, block + 18, group).intoArray(to.levels, low + SumOrder.LANES);
        }
    }
}
