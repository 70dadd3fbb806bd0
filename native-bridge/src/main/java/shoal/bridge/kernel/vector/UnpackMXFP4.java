package shoal.bridge.kernel.vector;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import jdk.incubator.vector.ByteVector;
import shoal.bridge.kernel.scalar.MXFP4;
import shoal.codec.gguf.GgmlType;

/** Of {@link shoal.bridge.kernel.scalar.MXFP4}. */
final class UnpackMXFP4 implements Unpacker {
    private static final ByteVector TABLE = HalfTable.of(MXFP4.TABLE);

    @Override
    public Constants constants() {
        return Constants.NONE;
    }

    @Override
    public int largestLevel() {
        return 12;
    }

    @Override
    public void unpackScales(MemorySegment w, long offset, int columns, UnpackedRows to, int part) {
        int blocks = columns / GgmlType.MXFP4.blockValues();
        for (int i = 0; i < blocks; i++) {
            long block = offset + (long) i * GgmlType.MXFP4.blockBytes();
            to.scales[part + i] = MXFP4.scale(w.get(ValueLayout.JAVA_BYTE, block));
        }
    }

    @Override
    public void unpackLevels(MemorySegment w, long offset, int columns, UnpackedRows to, int at) {
        int blocks = columns / GgmlType.MXFP4.blockValues();
        for (int i = 0; i < blocks; i++) {
            unpackBlock(w, offset + (long) i * GgmlType.MXFP4.blockBytes(), to, at + i * GgmlType.MXFP4.blockValues());
        }
    }

    private static void unpackBlock(MemorySegment w, long block, UnpackedRows to, int at) {
        HalfTable.unpack(TABLE, w, block + 1, to, at);
    }
}
