package shoal.bridge.kernel.scalar;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.codec.gguf.GgmlType;

/** What one tensor type's bytes mean. Adding a type is adding one class here, and its line in {@link ScalarOperations}. */
public sealed interface Dequantizer {
    ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    GgmlType type();

    /** Writes count values, whole blocks, that start at a byte of the segment, as ggml's to_float does. */
    void dequantise(MemorySegment bytes, long offset, int count, float[] out, int outOffset);

    /** The row that starts at a byte, times row token of x, in the order of {@link SumOrder}. lanes: room for 16. */
    float dot(MemorySegment bytes, long offset, int columns, HostBuffer x, int token, float[] lanes);

    /** A type whose values stand alone. */
    non-sealed interface Plain extends Dequantizer {
        float value(MemorySegment bytes, long offset);

        @Override
        default void dequantise(MemorySegment bytes, long offset, int count, float[] out, int outOffset) {
            int size = type().blockBytes();
            for (int i = 0; i < count; i++) {
                out[outOffset + i] = value(bytes, offset + (long) i * size);
            }
        }

        @Override
        default float dot(MemorySegment bytes, long offset, int columns, HostBuffer x, int token, float[] lanes) {
            int size = type().blockBytes();
            java.util.Arrays.fill(lanes, 0, SumOrder.LANES, 0f);
            for (int c = 0; c < columns; c++) {
                int lane = c % SumOrder.LANES;
                float weight = value(bytes, offset + (long) c * size);
                lanes[lane] = Math.fma(weight, x.values()[token * columns + c], lanes[lane]);
            }
            return SumOrder.tree(lanes, 0);
        }
    }

    /** A type of blocks: 32 values at a time are an integer level each, times one scale; some types add a constant. */
    non-sealed interface Blocks extends Dequantizer {
        /**
         * Unpacks 32 values, sub-block index (of 32 values each) of the block that starts at a byte. Fills levels with integers
         * and returns the scale; value i is scale * levels[i], and the constant more.
         */
        float unpack(MemorySegment bytes, long blockOffset, int index, int[] levels);

        /** Whether {@link #constant} is added. */
        default boolean hasConstant() {
            return false;
        }

        /** Value i has constant * factors[i] added; fills factors with integers and returns the constant. */
        default float constant(MemorySegment bytes, long blockOffset, int index, int[] factors) {
            throw new IllegalStateException(type() + " adds no constant");
        }

        @Override
        default void dequantise(MemorySegment bytes, long offset, int count, float[] out, int outOffset) {
            int[] levels = new int[HostBuffer.BLOCK];
            int[] factors = new int[HostBuffer.BLOCK];
            for (int part = 0; part < count / HostBuffer.BLOCK; part++) {
                long block = blockOffset(offset, part);
                float scale = unpack(bytes, block, index(part), levels);
                int base = outOffset + part * HostBuffer.BLOCK;
                for (int i = 0; i < HostBuffer.BLOCK; i++) {
                    out[base + i] = scale * levels[i];
                }
                if (hasConstant()) {
                    float constant = constant(bytes, block, index(part), factors);
                    for (int i = 0; i < HostBuffer.BLOCK; i++) {
                        out[base + i] += constant * factors[i];
                    }
                }
            }
        }

        @Override
        default float dot(MemorySegment bytes, long offset, int columns, HostBuffer x, int token, float[] lanes) {
            java.util.Arrays.fill(lanes, 0, SumOrder.LANES, 0f);
            int[] levels = new int[HostBuffer.BLOCK];
            int parts = columns / HostBuffer.BLOCK;
            for (int part = 0; part < parts; part++) {
                long block = blockOffset(offset, part);
                float activationScale = x.scales()[token * parts + part];
                float scale = unpack(bytes, block, index(part), levels) * activationScale;
                int at = token * columns + part * HostBuffer.BLOCK;
                int lane = part % SumOrder.LANES;
                lanes[lane] = Math.fma((float) sum(levels, x.levels8(), at), scale, lanes[lane]);
                if (hasConstant()) {
                    float constant = constant(bytes, block, index(part), levels);
                    float sum = (float) sum(levels, x.levels8(), at) * activationScale;
                    lanes[lane] = Math.fma(sum, constant, lanes[lane]);
                }
            }
            return SumOrder.tree(lanes, 0);
        }

        private static int sum(int[] integers, byte[] levels, int at) {
            int sum = 0;
            for (int i = 0; i < HostBuffer.BLOCK; i++) {
                sum += integers[i] * levels[at + i];
            }
            return sum;
        }

        private long blockOffset(long offset, int part) {
            return offset + (long) (part / partsPerBlock()) * type().blockBytes();
        }

        private int index(int part) {
            return part % partsPerBlock();
        }

        private int partsPerBlock() {
            return type().blockValues() / HostBuffer.BLOCK;
        }
    }
}
