package shoal.bridge.kernel.scalar;

import java.lang.foreign.MemorySegment;
import shoal.codec.gguf.GgmlType;

/** The types without blocks. */
final class PlainTypes {
    private PlainTypes() {}

    record F32() implements Dequantizer.Plain {
        @Override
        public GgmlType type() {
            return GgmlType.F32;
        }

        @Override
        public float value(MemorySegment bytes, long offset) {
            return bytes.get(FLOAT, offset);
        }
    }

    record F16() implements Dequantizer.Plain {
        @Override
        public GgmlType type() {
            return GgmlType.F16;
        }

        @Override
        public float value(MemorySegment bytes, long offset) {
            return Float.float16ToFloat(bytes.get(SHORT, offset));
        }
    }

    /** The upper half of an F32. */
    record BF16() implements Dequantizer.Plain {
        @Override
        public GgmlType type() {
            return GgmlType.BF16;
        }

        @Override
        public float value(MemorySegment bytes, long offset) {
            return Float.intBitsToFloat(bytes.get(SHORT, offset) << 16);
        }
    }
}
