package shoal.bridge.hash;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import shoal.codec.base.Hash256;
import shoal.codec.metainfo.Pieces;

/** SHA-256 by {@code hash.c}: lanes of wide vectors, pairs by the processor's own instructions, or both. */
final class NativeBlockHasher extends LaneBlockHasher {
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
}
