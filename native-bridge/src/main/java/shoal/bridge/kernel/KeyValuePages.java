package shoal.bridge.kernel;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.zip.CRC32C;
import shoal.codec.base.Bounds;
import shoal.codec.base.MalformedException;

/**
 * Keys and values of some of a sequence's positions, from the beginning of a page on, copied out of a stage to be taken up by another
 * one with the same layers, on this machine or elsewhere. Memory is the caller's.
 *
 * <p>{@link #sealed} has {@link #HEADER_BYTES}, then layer after layer its pages in order. Of a page the keys of all heads, then their
 * values, as {@link shoal.bridge.kernel.host.HostSequence} has them; behind the last position all is 0. Header, little-endian, 32 bits
 * each: {@code SKV1}, the cache type's ordinal, layers, KV heads, head size, positions, CRC-32C of what follows, first position.
 */
public final class KeyValuePages {
    public static final int HEADER_BYTES = 32;

    private static final int MAGIC = 0x31_56_4b_53;
    private static final int MOST_CHECKED_BYTES = 1 << 26;
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final CacheShape shape;
    private final int first;
    private final int positions;
    private final MemorySegment bytes;
    private final MemorySegment whole;

    private KeyValuePages(CacheShape shape, int first, int positions, MemorySegment bytes, MemorySegment whole) {
        this.shape = shape;
        this.first = first;
        this.positions = positions;
        this.bytes = bytes;
        this.whole = whole;
    }

    /** Room for so many first positions, outside the heap. */
    public static KeyValuePages allocate(CacheShape shape, int positions, Arena arena) {
        Bounds.requireRange("positions to copy", positions, 0, Integer.MAX_VALUE - CacheShape.PAGE_POSITIONS);
        return in(arena.allocate(sealedBytes(shape, positions), 64), shape, 0, positions);
    }

    /** Bytes that so many positions take when they are {@link #sealed}. */
    public static long sealedBytes(CacheShape shape, int positions) {
        return HEADER_BYTES + bytes(shape, positions);
    }

    /**
     * In memory of the caller's, to be filled.
     *
     * @param whole {@link #sealedBytes} of it
     * @param first position, the first of a page
     */
    public static KeyValuePages in(MemorySegment whole, CacheShape shape, int first, int positions) {
        requirePageStart(first);
        Bounds.requireRange("positions to copy", positions, 0, Integer.MAX_VALUE - CacheShape.PAGE_POSITIONS - first);
        long size = sealedBytes(shape, positions);
        Bounds.requireRange("bytes of keys and values", whole.byteSize(), size, size);
        return new KeyValuePages(shape, first, positions, whole.asSlice(HEADER_BYTES), whole);
    }

    private static void requirePageStart(int first) {
        if (first < 0 || first % CacheShape.PAGE_POSITIONS != 0) {
            throw new MalformedException("keys and values begin at position " + first + ", allowed are multiples of "
                    + CacheShape.PAGE_POSITIONS);
        }
    }

    /**
     * What another machine has {@link #sealed}; not copied.
     *
     * @param expected of the stage that is to take it up
     * @param mostPositions that its sequence has room for
     * @throws MalformedException if it is something else, naming what was found and what is allowed
     */
    public static KeyValuePages read(MemorySegment sealed, CacheShape expected, int mostPositions) {
        if (sealed.byteSize() < HEADER_BYTES) {
            throw new MalformedException(
                    "keys and values have a header of " + HEADER_BYTES + " bytes, there are " + sealed.byteSize());
        }
        require("magic number", word(sealed, 0), MAGIC);
        require("cache type", word(sealed, 1), expected.type().ordinal());
        require("layers", word(sealed, 2), expected.layers());
        require("KV heads", word(sealed, 3), expected.kvHeads());
        require("head size", word(sealed, 4), expected.headSize());
        int first = word(sealed, 7);
        requirePageStart(first);
        int positions = word(sealed, 5);
        if (positions < 0 || positions > mostPositions - first) {
            throw new MalformedException("keys and values are of " + positions + " positions behind " + first
                    + ", allowed are 0.." + mostPositions + " in all");
        }
        long size = bytes(expected, positions);
        if (sealed.byteSize() - HEADER_BYTES != size) {
            throw new MalformedException("keys and values of " + positions + " positions have "
                    + (sealed.byteSize() - HEADER_BYTES) + " bytes, they should have " + size);
        }
        MemorySegment bytes = sealed.asSlice(HEADER_BYTES);
        require("checksum", word(sealed, 6), checksum(bytes));
        return new KeyValuePages(expected, first, positions, bytes, sealed);
    }

    private static int word(MemorySegment sealed, int index) {
        return sealed.get(INT, (long) index * Integer.BYTES);
    }

    private static void require(String what, int found, int wanted) {
        if (found != wanted) {
            throw new MalformedException("keys and values: " + what + " is " + Integer.toUnsignedString(found)
                    + ", this stage's is " + Integer.toUnsignedString(wanted));
        }
    }

    /** Of all layers, without the header. */
    private static long bytes(CacheShape shape, int positions) {
        return Math.ceilDiv(positions, CacheShape.PAGE_POSITIONS) * shape.pageBytes();
    }

    private static int checksum(MemorySegment bytes) {
        var sum = new CRC32C();
        for (long at = 0; at < bytes.byteSize(); at += MOST_CHECKED_BYTES) {
            sum.update(bytes.asSlice(at, Math.min(MOST_CHECKED_BYTES, bytes.byteSize() - at))
                    .asByteBuffer());
        }
        return (int) sum.getValue();
    }

    public CacheShape shape() {
        return shape;
    }

    /** Position of the first one in its sequence. */
    public int first() {
        return first;
    }

    public int positions() {
        return positions;
    }

    public int pages() {
        return Math.ceilDiv(positions, CacheShape.PAGE_POSITIONS);
    }

    /** One layer's pages, one after another. */
    public MemorySegment layer(int layer) {
        long size = pages() * shape.layerPageBytes();
        return bytes.asSlice(layer * size, size);
    }

    /** Some layers of these, in the same memory. */
    KeyValuePages layers(int first, int count) {
        long size = pages() * shape.layerPageBytes();
        CacheShape part = new CacheShape(count, shape.kvHeads(), shape.headSize(), shape.type());
        MemorySegment slice = bytes.asSlice(first * size, count * size);
        return new KeyValuePages(part, this.first, positions, slice, slice);
    }

    /** @throws IllegalArgumentException if a sequence of that kind and length does not hold these positions */
    public void requireHeldBy(CacheShape held, int length) {
        requireShape(held);
        Bounds.requireRange("positions to copy", (long) first + positions, 0, length);
    }

    /** @throws IllegalArgumentException if they are not for a sequence of that kind, do not go on where it ends, or it is too small */
    public void requireRoomIn(CacheShape held, int length, int capacity) {
        requireShape(held);
        Bounds.requireRange("positions that are there already", length, first, first);
        Bounds.requireRange("positions to take up", (long) first + positions, 0, capacity);
    }

    private void requireShape(CacheShape held) {
        if (!shape.equals(held)) {
            throw new IllegalArgumentException("keys and values are " + shape + ", the sequence's are " + held);
        }
    }

    /** Writes 0 behind the last position, where a page may have what others left. Whoever copies pages here asks for it. */
    public void clearBehind() {
        int used = positions % CacheShape.PAGE_POSITIONS;
        if (used == 0) {
            return;
        }
        long headBytes = shape.type().headBytes(shape.headSize());
        for (int layer = 0; layer < shape.layers(); layer++) {
            MemorySegment page = layer(layer).asSlice((pages() - 1) * shape.layerPageBytes());
            for (int head = 0; head < shape.kvHeads(); head++) {
                clearKeys(page.asSlice(head * CacheShape.PAGE_POSITIONS * headBytes), used);
                page.asSlice(
                                ((shape.kvHeads() + head) * (long) CacheShape.PAGE_POSITIONS + used) * headBytes,
                                (CacheShape.PAGE_POSITIONS - used) * headBytes)
                        .fill((byte) 0);
            }
        }
    }

    /** Of one head: rows of a page's positions, one value each; as 8 bits a row of scales before every 32 of levels. */
    private void clearKeys(MemorySegment keys, int used) {
        switch (shape.type()) {
            case F32 -> clearRows(keys, 0, shape.headSize(), Float.BYTES, used);
            case F16 -> clearRows(keys, 0, shape.headSize(), Short.BYTES, used);
            case Q8_0 -> {
                long at = 0;
                for (int c = 0; c < shape.headSize(); c += CacheType.BLOCK) {
                    at = clearRows(keys, at, 1, Short.BYTES, used);
                    at = clearRows(keys, at, CacheType.BLOCK, 1, used);
                }
            }
        }
    }

    private static long clearRows(MemorySegment keys, long at, int rows, int valueBytes, int used) {
        long rowBytes = (long) CacheShape.PAGE_POSITIONS * valueBytes;
        for (int row = 0; row < rows; row++) {
            keys.asSlice(at + row * rowBytes + (long) used * valueBytes, rowBytes - (long) used * valueBytes)
                    .fill((byte) 0);
        }
        return at + rows * rowBytes;
    }

    /** All of it behind its header, to be sent. Only of what was {@link #allocate}d and filled, or {@link #read}. */
    public MemorySegment sealed() {
        if (whole.byteSize() == bytes.byteSize()) {
            throw new IllegalStateException("some layers of other pages have no header of their own");
        }
        int[] header = {
            MAGIC,
            shape.type().ordinal(),
            shape.layers(),
            shape.kvHeads(),
            shape.headSize(),
            positions,
            checksum(bytes),
            first
        };
        MemorySegment.copy(header, 0, whole, INT, 0, header.length);
        return whole;
    }
}
