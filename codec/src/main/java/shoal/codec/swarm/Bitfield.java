package shoal.codec.swarm;

import static shoal.codec.base.Bounds.requireRange;

import java.util.BitSet;
import shoal.codec.base.MalformedException;

/**
 * A set of pieces of one file, numbered from 0. Immutable. As bytes: one bit a piece, the first piece in the highest bit
 * of the first byte, spare bits zero (BEP 3).
 */
public final class Bitfield {
    /** More pieces than any piece layer of 2 MiB names, with room for other clients' files; 2 MiB of bits. */
    public static final int MAX_PIECES = 1 << 24;

    private final BitSet bits;
    private final int size;

    private Bitfield(BitSet bits, int size) {
        this.bits = bits;
        this.size = requireRange("pieces", size, 0, MAX_PIECES);
    }

    public static Bitfield none(int size) {
        return new Bitfield(new BitSet(), size);
    }

    public static Bitfield all(int size) {
        return none(size).withRange(0, size);
    }

    /** Copies the set. @throws IllegalArgumentException if it has a piece past size */
    public static Bitfield of(BitSet pieces, int size) {
        if (pieces.length() > size) {
            throw new IllegalArgumentException("piece " + (pieces.length() - 1) + " of " + size + " pieces");
        }
        return new Bitfield((BitSet) pieces.clone(), size);
    }

    /** Reads a peer's bytes. @throws MalformedException on a wrong length or a spare bit that is set */
    public static Bitfield parse(byte[] bytes, int size) {
        int expected = (size + 7) / 8;
        if (bytes.length != expected) {
            throw new MalformedException(
                    "a bitfield of " + size + " pieces has " + expected + " bytes, found " + bytes.length);
        }
        BitSet bits = new BitSet(size);
        for (int i = 0; i < bytes.length; i++) {
            for (int b = bytes[i] & 0xff; b != 0; b &= b - 1) {
                bits.set(8 * i + 7 - Integer.numberOfTrailingZeros(b));
            }
        }
        if (bits.length() > size) {
            throw new MalformedException(
                    "a bitfield of " + size + " pieces has spare bit " + (bits.length() - 1) + " set");
        }
        return new Bitfield(bits, size);
    }

    /** Reads {@link #picture()}: '#' is a piece that is there, '.' one that is not, blanks mean nothing. */
    public static Bitfield ofPicture(String picture) {
        String cells = picture.replace(" ", "");
        BitSet bits = new BitSet();
        for (int i = 0; i < cells.length(); i++) {
            switch (cells.charAt(i)) {
                case '#' -> bits.set(i);
                case '.' -> {}
                default -> throw new IllegalArgumentException("'" + cells.charAt(i) + "' in a picture of '#' and '.'");
            }
        }
        return new Bitfield(bits, cells.length());
    }

    public byte[] toBytes() {
        byte[] bytes = new byte[(size + 7) / 8];
        for (int i = bits.nextSetBit(0); i >= 0; i = bits.nextSetBit(i + 1)) {
            bytes[i >> 3] |= (byte) (0x80 >> (i & 7));
        }
        return bytes;
    }

    /** Pieces of the file, in the set or not. */
    public int size() {
        return size;
    }

    /** Pieces in the set. */
    public int count() {
        return bits.cardinality();
    }

    public boolean get(int piece) {
        return bits.get(requireRange("piece", piece, 0, size - 1));
    }

    public boolean isEmpty() {
        return bits.isEmpty();
    }

    public boolean isFull() {
        return bits.nextClearBit(0) >= size;
    }

    /** The first piece of the set at from or behind it, or -1. */
    public int nextSet(int from) {
        return bits.nextSetBit(from);
    }

    /** The first piece not in the set at from or behind it, or -1. */
    public int nextClear(int from) {
        int piece = bits.nextClearBit(from);
        return piece < size ? piece : -1;
    }

    public Bitfield with(int piece) {
        return withRange(piece, 1);
    }

    public Bitfield withRange(int firstPiece, int pieceCount) {
        requireRange("piece count", pieceCount, 0, size);
        requireRange("first piece", firstPiece, 0, size - pieceCount);
        BitSet copy = (BitSet) bits.clone();
        copy.set(firstPiece, firstPiece + pieceCount);
        return new Bitfield(copy, size);
    }

    public Bitfield without(int piece) {
        requireRange("piece", piece, 0, size - 1);
        BitSet copy = (BitSet) bits.clone();
        copy.clear(piece);
        return new Bitfield(copy, size);
    }

    public Bitfield and(Bitfield other) {
        BitSet copy = (BitSet) bits.clone();
        copy.and(sameSize(other).bits);
        return new Bitfield(copy, size);
    }

    public Bitfield or(Bitfield other) {
        BitSet copy = (BitSet) bits.clone();
        copy.or(sameSize(other).bits);
        return new Bitfield(copy, size);
    }

    public Bitfield minus(Bitfield other) {
        BitSet copy = (BitSet) bits.clone();
        copy.andNot(sameSize(other).bits);
        return new Bitfield(copy, size);
    }

    /** Whether every piece of other is in this set. */
    public boolean containsAll(Bitfield other) {
        return other.minus(this).isEmpty();
    }

    /** A copy that may be changed. */
    public BitSet toBitSet() {
        return (BitSet) bits.clone();
    }

    /** One character a piece: '#' there, '.' not there. */
    public String picture() {
        StringBuilder text = new StringBuilder(size);
        for (int i = 0; i < size; i++) {
            text.append(bits.get(i) ? '#' : '.');
        }
        return text.toString();
    }

    private Bitfield sameSize(Bitfield other) {
        if (other.size != size) {
            throw new IllegalArgumentException("a set of " + other.size + " pieces beside one of " + size);
        }
        return other;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Bitfield field && field.size == size && field.bits.equals(bits);
    }

    @Override
    public int hashCode() {
        return 31 * bits.hashCode() + size;
    }

    /** As ranges, for messages: "3 of 8 pieces (0-1, 5)". At most eight ranges are named. */
    @Override
    public String toString() {
        StringBuilder text =
                new StringBuilder().append(count()).append(" of ").append(size).append(" pieces");
        String separator = " (";
        int ranges = 0;
        for (int first = bits.nextSetBit(0); first >= 0; ) {
            int end = bits.nextClearBit(first);
            text.append(separator);
            if (++ranges > 8) {
                text.append("…");
                break;
            }
            text.append(first);
            if (end - 1 > first) {
                text.append('-').append(end - 1);
            }
            separator = ", ";
            first = bits.nextSetBit(end);
        }
        return ranges == 0 ? text.toString() : text.append(')').toString();
    }
}
