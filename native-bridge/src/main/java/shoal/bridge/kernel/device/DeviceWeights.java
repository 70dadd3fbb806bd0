package shoal.bridge.kernel.device;

import java.lang.foreign.MemorySegment;
import shoal.bridge.kernel.PreparedWeights;
import shoal.codec.gguf.GgmlType;

/** A matrix that is uploaded as it is when a stage that names it is compiled; until then it stays mapped. */
record DeviceWeights(GgmlType type, int rows, int columns, MemorySegment bytes) implements PreparedWeights {
    DeviceWeights {
        if (rows < 1 || columns < 1 || columns % type.blockValues() != 0) {
            throw new IllegalArgumentException("a " + type + " matrix of " + rows + " rows of " + columns
                    + " columns; rows are whole blocks of " + type.blockValues());
        }
        long expected = type.sizeBytes((long) rows * columns);
        if (bytes.byteSize() != expected) {
            throw new IllegalArgumentException("a " + type + " matrix of " + rows + " rows of " + columns
                    + " columns has " + expected + " bytes, given are " + bytes.byteSize());
        }
    }

    /** Whether products take activations rounded to 8 bits. */
    boolean quantised() {
        return type.blockValues() > 1;
    }
}
