package shoal.bridge.hash;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * The last compression of a chunk or of a parent before it is known whether the node is the root (BLAKE3 paper, sections 2.2 to
 * 2.6).
 *
 * @param input 8 words of chaining value
 * @param block 16 words
 * @param blockSize bytes of the block that count, 0..64
 */
record Blake3Node(int[] input, int[] block, long counter, int blockSize, int flags) {
    private static final ValueLayout.OfInt WORD = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final int ROOT = 8;
    private static final int WORDS = 16;
    private static final int ROUNDS = 7;

    /** Where each round finds its words: section 2.2, the permutation applied again and again. */
    static final int[] SCHEDULE = schedule();

    private static int[] schedule() {
        int[] permutation = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};
        var schedule = new int[ROUNDS * WORDS];
        for (int i = 0; i < WORDS; i++) {
            schedule[i] = i;
        }
        for (int i = WORDS; i < schedule.length; i++) {
            schedule[i] = schedule[i / WORDS * WORDS - WORDS + permutation[i % WORDS]];
        }
        return schedule;
    }

    /** @param chunk 0..1024 bytes; fewer only at the end of the whole input */
    static Blake3Node ofChunk(MemorySegment chunk, long number) {
        int[] value = Sha256Words.START;
        int size = (int) chunk.byteSize();
        for (int at = 0; ; at += ChunkHasher.BLOCK_BYTES) {
            int left = Math.min(ChunkHasher.BLOCK_BYTES, size - at);
            var block = new byte[ChunkHasher.BLOCK_BYTES];
            MemorySegment.copy(chunk, ValueLayout.JAVA_BYTE, at, block, 0, left);
            int flags = at == 0 ? ChunkHasher.CHUNK_START : 0;
            boolean last = at + ChunkHasher.BLOCK_BYTES >= size;
            var node = new Blake3Node(
                    value,
                    words(MemorySegment.ofArray(block), 0),
                    number,
                    left,
                    last ? flags | ChunkHasher.CHUNK_END : flags);
            if (last) {
                return node;
            }
            value = node.value();
        }
    }

    static Blake3Node ofParent(MemorySegment children, long offset) {
        return new Blake3Node(
                Sha256Words.START, words(children, offset), 0, ChunkHasher.BLOCK_BYTES, ChunkHasher.PARENT);
    }

    private static int[] words(MemorySegment data, long offset) {
        var words = new int[WORDS];
        for (int i = 0; i < WORDS; i++) {
            words[i] = data.get(WORD, offset + 4L * i);
        }
        return words;
    }

    private int[] value() {
        return java.util.Arrays.copyOf(compress(counter, flags), 8);
    }

    /** The chaining value, 32 bytes, for a node that is not the root. */
    void value(MemorySegment target, long offset) {
        int[] value = compress(counter, flags);
        for (int i = 0; i < 8; i++) {
            target.set(WORD, offset + 4L * i, value[i]);
        }
    }

    /** Output of any size, of the root. */
    void root(byte[] out) {
        MemorySegment target = MemorySegment.ofArray(new byte[ChunkHasher.BLOCK_BYTES]);
        for (int at = 0; at < out.length; at += ChunkHasher.BLOCK_BYTES) {
            int[] words = compress(at / ChunkHasher.BLOCK_BYTES, flags | ROOT);
            for (int i = 0; i < WORDS; i++) {
                target.set(WORD, 4L * i, words[i]);
            }
            MemorySegment.copy(
                    target, ValueLayout.JAVA_BYTE, 0, out, at, Math.min(ChunkHasher.BLOCK_BYTES, out.length - at));
        }
    }

    private int[] compress(long number, int flag) {
        var v = new int[WORDS];
        System.arraycopy(input, 0, v, 0, 8);
        System.arraycopy(Sha256Words.START, 0, v, 8, 4);
        v[12] = (int) number;
        v[13] = (int) (number >>> 32);
        v[14] = blockSize;
        v[15] = flag;
        for (int round = 0; round < SCHEDULE.length; round += WORDS) {
            for (int i = 0; i < 4; i++) {
                mix(v, i, 4 + i, 8 + i, 12 + i, round + 2 * i);
            }
            for (int i = 0; i < 4; i++) {
                mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, round + 8 + 2 * i);
            }
        }
        for (int i = 0; i < 8; i++) {
            v[i] ^= v[8 + i];
            v[8 + i] ^= input[i];
        }
        return v;
    }

    private void mix(int[] v, int a, int b, int c, int d, int at) {
        v[a] += v[b] + block[SCHEDULE[at]];
        v[d] = Integer.rotateRight(v[d] ^ v[a], 16);
        v[c] += v[d];
        v[b] = Integer.rotateRight(v[b] ^ v[c], 12);
        v[a] += v[b] + block[SCHEDULE[at + 1]];
        v[d] = Integer.rotateRight(v[d] ^ v[a], 8);
        v[c] += v[d];
        v[b] = Integer.rotateRight(v[b] ^ v[c], 7);
    }
}
