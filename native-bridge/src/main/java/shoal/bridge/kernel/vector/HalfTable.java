package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.LEVEL_GROUPS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_WIDTH;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.ByteVector;
import shoal.bridge.kernel.SumOrder;

/** Levels that are a table's entries at the halves of bytes. */
final class HalfTable {
    private HalfTable() {}

    /** @param table 16 signed bytes */
    static ByteVector of(int[] table) {
        byte[] bytes = new byte[16];
        for (int i = 0; i < 16; i++) {
            bytes[i] = (byte) table[i];
        }
        return ByteVector.fromArray(ByteVector.SPECIES_128, bytes, 0);
    }

    /** 32 levels of 16 bytes: the low halves', then the high halves'. */
    static void unpack(ByteVector table, MemorySegment w, long offset, UnpackedRows to, int at) {
        ByteVector low = Lanes.lowHalves(w, offset).selectFrom(table);
        ByteVector high = Lanes.highHalves(w, offset).selectFrom(table);
        for (int group = 0; group < LEVEL_GROUPS; group++) {
            Lanes.levels(low, group).intoArray(to.levels, at + group * LEVEL_WIDTH);
            Lanes.levels(high, group).intoArray(to.levels, at + SumOrder.LANES + group * LEVEL_WIDTH);
        }
    }
}
