package shoal.codec.gguf;

import java.util.List;

/**
 * Where one tensor lies and what it is.
 *
 * @param name as the file has it, such as {@code blk.4.attn_q.weight}
 * @param dimensions in ggml's order ("ne"), the fastest first: a matrix of O rows and C columns is [C, O]; 0 to 4 of them
 * @param offset in bytes from the start of the data section
 */
public record TensorInfo(String name, List<Long> dimensions, GgmlType type, long offset) {
    /** ggml's GGML_MAX_DIMS. */
    public static final int MAX_DIMENSIONS = 4;

    public TensorInfo {
        dimensions = List.copyOf(dimensions);
        if (dimensions.size() > MAX_DIMENSIONS) {
            throw new IllegalArgumentException(
                    name + " has " + dimensions.size() + " dimensions, allowed 0.." + MAX_DIMENSIONS);
        }
        if (offset < 0) {
            throw new IllegalArgumentException(name + " has offset " + offset + ", allowed 0..");
        }
        long count = 1;
        for (long dimension : dimensions) {
            if (dimension < 1) {
                throw new IllegalArgumentException(name + " has a dimension of " + dimension + ", allowed 1..");
            }
            count = Math.multiplyExact(count, dimension);
        }
        if (type.blockValues() > 1 && (dimensions.isEmpty() || dimensions.getFirst() % type.blockValues() != 0)) {
            throw new IllegalArgumentException(name + " has rows of "
                    + (dimensions.isEmpty() ? 1 : dimensions.getFirst()) + " values, " + type
                    + " needs a multiple of " + type.blockValues());
        }
        type.sizeBytes(count);
    }

    public long elementCount() {
        long count = 1;
        for (long dimension : dimensions) {
            count *= dimension;
        }
        return count;
    }

    /** Bytes of the tensor's values, without padding. */
    public long sizeBytes() {
        return type.sizeBytes(elementCount());
    }

    /** Dimension number index, 1 past the last as ggml has it. */
    public long dimension(int index) {
        return index < dimensions.size() ? dimensions.get(index) : 1;
    }

    TensorInfo withOffset(long newOffset) {
        return new TensorInfo(name, dimensions, type, newOffset);
    }
}
