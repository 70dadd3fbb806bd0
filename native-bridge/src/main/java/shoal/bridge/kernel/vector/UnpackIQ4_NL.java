package shoal.bridge.kernel.vector;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.ByteVector;
import shoal.bridge.kernel.scalar.IQ4_NL;
import shoal.codec.gguf.GgmlType;

/** Of {@link shoal.bridge.kernel.scalar.IQ4_NL}. */
final class UnpackIQ4_NL implements Unpacker {
    private static final ByteVector TABLE = HalfTable.of(IQ4_NL.TABLE);

    @Override
    public Constants constants() {
        return Constants.NONE;
    }

    @Override
    public void unpackScales(MemorySegment w, long offset, int columns, UnpackedRows to, int part) {
        int blocks = columns / GgmlType.IQ4_NL.blockValues();
        for (int i = 0; i < blocks; i++) {
            long block = offset + (long) i * GgmlType.IQ4_NL.blockBytes();
            to.scales[part + i] = Lanes.half(w, block);
        }
    }

    @Override
    public void unpackLevels(MemorySegment w, long offset, int columns, UnpackedRows to, int at) {
        int blocks = columns / GgmlType.IQ4_NL.blockValues();
        for (int i = 0; i < blocks; i++) {
            unpackBlock(
                    w, offset + (long) i * GgmlType.IQ4_NL.blockBytes(), to, at + i * GgmlType.IQ4_NL.blockValues());
        }
    }

    private static void unpackBlock(MemorySegment w, long block, UnpackedRows to, int at) {
        HalfTable.unpack(TABLE, w, block + 2, to, at);
    }
}
