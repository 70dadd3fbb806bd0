package shoal.bridge.hash;

import java.lang.foreign.MemorySegment;

/** The part of BLAKE3 that can be done side by side: chaining values of whole chunks and of parents (paper, sections 2.4, 2.5). */
sealed interface ChunkHasher {
    int CHUNK_BYTES = 1024;
    int BLOCK_BYTES = 64;
    int VALUE_BYTES = 32;
    int CHUNK_START = 1;
    int CHUNK_END = 2;
    int PARENT = 4;

    /** Chaining values of count whole chunks that lie one behind the other and have the numbers from counter on. */
    void chunks(MemorySegment input, int count, long counter, MemorySegment values);

    /** Chaining values of count parents; children holds two values for each. Values may be children itself. */
    void parents(MemorySegment children, int count, MemorySegment values);

    String name();

    /** By {@code hash.c}; all segments must be native. */
    record Native(NativeHashes library, int variant) implements ChunkHasher {
        @Override
        public void chunks(MemorySegment input, int count, long counter, MemorySegment values) {
            library.blake3(variant, input, count, CHUNK_BYTES / BLOCK_BYTES, counter, values);
        }

        @Override
        public void parents(MemorySegment children, int count, MemorySegment values) {
            library.blake3(variant, children, count, 1, 0, values);
        }

        @Override
        public String name() {
            return NativeHashes.nameOf(variant);
        }
    }

    /** By the Vector API. */
    record Vector() implements ChunkHasher {
        @Override
        public void chunks(MemorySegment input, int count, long counter, MemorySegment values) {
            VectorBlake3.hash(input, count, CHUNK_BYTES / BLOCK_BYTES, counter, values);
        }

        @Override
        public void parents(MemorySegment children, int count, MemorySegment values) {
            VectorBlake3.hash(children, count, 1, 0, values);
        }

        @Override
        public String name() {
            return "vector-" + VectorBlockHasher.lanes();
        }
    }

    /** One after the other. */
    record Scalar() implements ChunkHasher {
        @Override
        public void chunks(MemorySegment input, int count, long counter, MemorySegment values) {
            for (int i = 0; i < count; i++) {
                Blake3Node.ofChunk(input.asSlice((long) CHUNK_BYTES * i, CHUNK_BYTES), counter + i)
                        .value(values, (long) VALUE_BYTES * i);
            }
        }

        @Override
        public void parents(MemorySegment children, int count, MemorySegment values) {
            for (int i = 0; i < count; i++) {
                Blake3Node.ofParent(children, 2L * VALUE_BYTES * i).value(values, (long) VALUE_BYTES * i);
            }
        }

        @Override
        public String name() {
            return "scalar";
        }
    }
}
