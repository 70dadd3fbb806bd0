package shoal.bridge.hash;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import shoal.codec.base.Hash256;
import shoal.codec.metainfo.Pieces;

/** SHA-256 by {@code hash.c}: lanes of wide vectors, pairs by the processor's own instructions, or both. */
final class NativeBlockHasher extends LaneBlockHasher {
    private static final int MAX_PARENTS = 4096;

    private final NativeHashes library;
    private final int variant;

    /** @param variant one of {@link NativeHashes#sha256Variants} */
    NativeBlockHasher(NativeHashes library, int variant) {
        this.library = library;
        this.variant = variant;
    }

    @Override
    public String name() {
        return NativeHashes.nameOf(variant);
    }

    /** Blocks of direct buffers and mapped files are read where they lie, those on the heap are copied first. */
    @Override
    void hash(Blocks blocks, byte[] hashes) {
        int count = blocks.count;
        int copies = 0;
        for (int i = 0; i < count; i++) {
            copies += blocks.data[i].isNative() ? 0 : 1;
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment messages = arena.allocate(ValueLayout.ADDRESS, count);
            MemorySegment out = arena.allocate((long) Hash256.SIZE_BYTES * count);
            MemorySegment copy = copies == 0
                    ? MemorySegment.NULL
                    : arena.allocate((long) copies * Pieces.BLOCK_SIZE, ValueLayout.JAVA_LONG.byteAlignment());
            long copied = 0;
            for (int i = 0; i < count; i++) {
                MemorySegment block = blocks.data[i].asSlice(blocks.offset[i], Pieces.BLOCK_SIZE);
                if (!block.isNative()) {
                    MemorySegment heap = block;
                    block = copy.asSlice(copied, Pieces.BLOCK_SIZE).copyFrom(heap);
                    copied += Pieces.BLOCK_SIZE;
                }
                messages.setAtIndex(ValueLayout.ADDRESS, i, block);
            }
            library.sha256(variant, messages, count, Pieces.BLOCK_SIZE, out);
            for (int i = 0; i < count; i++) {
                MemorySegment.copy(
                        out,
                        ValueLayout.JAVA_BYTE,
                        (long) Hash256.SIZE_BYTES * i,
                        hashes,
                        blocks.target[i],
                        Hash256.SIZE_BYTES);
            }
        }
    }

    @Override
    public void parents(byte[] nodes, int count) {
        long pair = 2L * Hash256.SIZE_BYTES;
        try (Arena arena = Arena.ofConfined()) {
            int most = Math.min(count, MAX_PARENTS);
            MemorySegment messages = arena.allocate(ValueLayout.ADDRESS, Math.max(1, most));
            MemorySegment copy = arena.allocate(Math.max(1, most * pair), ValueLayout.JAVA_LONG.byteAlignment());
            MemorySegment out = arena.allocate(Math.max(1, (long) Hash256.SIZE_BYTES * most));
            for (int i = 0; i < most; i++) {
                messages.setAtIndex(ValueLayout.ADDRESS, i, copy.asSlice(i * pair, pair));
            }
            for (int done = 0; done < count; done += most) {
                int some = Math.min(most, count - done);
                MemorySegment.copy(nodes, (int) (done * pair), copy, ValueLayout.JAVA_BYTE, 0, (int) (some * pair));
                library.sha256(variant, messages, some, pair, out);
                MemorySegment.copy(
                        out, ValueLayout.JAVA_BYTE, 0, nodes, done * Hash256.SIZE_BYTES, some * Hash256.SIZE_BYTES);
            }
        }
    }
}
