package shoal.bridge.kernel.vector;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.ByteVector;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.bridge.kernel.scalar.IQ4_NL;
import shoal.codec.gguf.GgmlType;

/** Of {@link shoal.bridge.kernel.scalar.IQ4_XS}. */
final class UnpackIQ4_XS implements Unpacker {
    private static final int HIGH_SCALES = 2;
    private static final int LOW_SCALES = 4;
    private static final int LEVELS = 8;
    private static final ByteVector TABLE = HalfTable.of(IQ4_NL.TABLE);

    @Override
    public Constants constants() {
        return Constants.NONE;
    }

    @Override
    public void unpackScales(MemorySegment w, long offset, int columns, UnpackedRows to, int part) {
        int blocks = columns / GgmlType.IQ4_XS.blockValues();
        for (int i = 0; i < blocks; i++) {
            long block = offset + (long) i * GgmlType.IQ4_XS.blockBytes();
            float scale = Lanes.half(w, block);
            int high = w.get(Lanes.SHORT, block + HIGH_SCALES);
            int low = Lanes.bits32(w, block + LOW_SCALES);
            for (int k = 0; k < 8; k++) {
                int bits = low >>> 4 * k & 15 | (high >>> 2 * k & 3) << 4;
                to.scales[part + 8 * i + k] = scale * (bits - 32);
            }
        }
    }

    @Override
    public void unpackLevels(MemorySegment w, long offset, int columns, UnpackedRows to, int at) {
        int blocks = columns / GgmlType.IQ4_XS.blockValues();
        for (int i = 0; i < blocks; i++) {
            unpackBlock(
                    w, offset + (long) i * GgmlType.IQ4_XS.blockBytes(), to, at + i * GgmlType.IQ4_XS.blockValues());
        }
    }

    private static void unpackBlock(MemorySegment w, long block, UnpackedRows to, int at) {
        for (int part = 0; part < 8; part++) {
            HalfTable.unpack(TABLE, w, block + LEVELS + 16L * part, to, at + part * HostBuffer.BLOCK);
        }
    }
}
