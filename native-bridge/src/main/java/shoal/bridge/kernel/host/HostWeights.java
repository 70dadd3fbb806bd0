package shoal.bridge.kernel.host;

import java.lang.foreign.MemorySegment;
import shoal.bridge.kernel.PreparedWeights;
import shoal.codec.gguf.GgmlType;

/** A matrix left where it is mapped; the segment belongs to whoever opened the file. */
public record HostWeights(GgmlType type, int rows, int columns, MemorySegment bytes) implements PreparedWeights {
    public HostWeights {
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

    public long rowBytes() {
        return type.sizeBytes(columns);
    }
}
