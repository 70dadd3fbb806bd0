package shoal.bridge.kernel.vector;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;
import shoal.bridge.kernel.SumOrder;

/**
 * The 16 lanes of {@link SumOrder} on this machine's vectors: {@link #GROUPS} groups of {@link #WIDTH} lanes. A kernel goes over a
 * row once per group; all is constant to the compiler, and wider code than the machine has never runs.
 */
final class Lanes {
    static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED.length() > SumOrder.LANES
            ? FloatVector.SPECIES_512
            : FloatVector.SPECIES_PREFERRED;
    static final int WIDTH = FLOATS.length();
    static final int GROUPS = SumOrder.LANES / WIDTH;

    private static final VectorSpecies<Integer> INTS = FLOATS.withLanes(int.class);
    private static final IntVector LANE = IntVector.zero(INTS).addIndex(1);
    private static final VectorSpecies<Short> SHORTS =
            VectorSpecies.of(short.class, VectorShape.forBitSize(FLOATS.vectorBitSize() / 2));
    private static final VectorSpecies<Byte> BYTES =
            VectorSpecies.of(byte.class, VectorShape.forBitSize(Math.max(64, FLOATS.vectorBitSize() / 4)));
    private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ORDER);
    static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ORDER);

    private Lanes() {}

    /** Four lanes make a vector of 64 bits of bytes hold two groups. */
    private static int part(int group) {
        return WIDTH == 4 ? group & 1 : 0;
    }

    private static int byteStart(int group) {
        return WIDTH == 4 ? (group >> 1) * 8 : group * WIDTH;
    }

    /** One group's signed bytes of the 16 at offset. */
    static FloatVector signedBytes(MemorySegment bytes, long offset, int group) {
        return (FloatVector) ByteVector.fromMemorySegment(BYTES, bytes, offset + byteStart(group), ORDER)
                .convertShape(VectorOperators.B2F, FLOATS, part(group));
    }

    /** One group's bytes of the 16 at offset, as they are; to {@link #lowHalves} and {@link #highHalves}. */
    static ByteVector bytes(MemorySegment bytes, long offset, int group) {
        return ByteVector.fromMemorySegment(BYTES, bytes, offset + byteStart(group), ORDER);
    }

    /** The lower four bits of each byte, 0..15. */
    static FloatVector lowHalves(ByteVector bytes, int group) {
        return (FloatVector) bytes.and((byte) 15).convertShape(VectorOperators.B2F, FLOATS, part(group));
    }

    /** 16 * (the upper four bits of each byte less 8). A shift would do, but takes tens of times longer in JDK 25. */
    static FloatVector highHalvesLess8Times16(ByteVector bytes, int group) {
        return (FloatVector) bytes.lanewise(VectorOperators.XOR, (byte) 0x80)
                .and((byte) 0xf0)
                .convertShape(VectorOperators.B2F, FLOATS, part(group));
    }

    /** One group's unsigned bytes of the 16 at offset. */
    static IntVector unsignedBytes(MemorySegment bytes, long offset, int group) {
        return (IntVector) ByteVector.fromMemorySegment(BYTES, bytes, offset + byteStart(group), ORDER)
                .convertShape(VectorOperators.ZERO_EXTEND_B2I, INTS, part(group));
    }

    /** 16 where a bit is set, else 0, for one group of the lower 16 bits; the lowest is lane 0. */
    static IntVector fifthBits(int bits, int group) {
        return IntVector.broadcast(INTS, bits >>> group * WIDTH)
                .lanewise(VectorOperators.LSHR, LANE)
                .and(1)
                .lanewise(VectorOperators.LSHL, 4);
    }

    /** The lower four bits of the 16 bytes at offset. */
    static ByteVector lowHalves(MemorySegment bytes, long offset) {
        return ByteVector.fromMemorySegment(ByteVector.SPECIES_128, bytes, offset, ORDER)
                .and((byte) 15);
    }

    /** The upper four bits of the 16 bytes at offset, shifted as ints: shifts of bytes are slow in JDK 25. */
    static ByteVector highHalves(MemorySegment bytes, long offset) {
        return ByteVector.fromMemorySegment(ByteVector.SPECIES_128, bytes, offset, ORDER)
                .reinterpretAsInts()
                .lanewise(VectorOperators.LSHR, 4)
                .reinterpretAsBytes()
                .and((byte) 15);
    }

    /** One group of the 16 signed bytes. */
    static FloatVector group(ByteVector sixteen, int group) {
        return (FloatVector) sixteen.convertShape(VectorOperators.B2F, FLOATS, group);
    }

    /** Exact below 2^24. */
    static FloatVector toFloats(IntVector values) {
        return (FloatVector) values.convert(VectorOperators.I2F, 0);
    }

    /** WIDTH floats from a byte on. */
    static FloatVector floats(MemorySegment bytes, long offset) {
        return FloatVector.fromMemorySegment(FLOATS, bytes, offset, ORDER);
    }

    /** WIDTH halves from a byte on; exact, infinities and NaNs included. */
    static FloatVector halves(MemorySegment bytes, long offset) {
        IntVector bits = (IntVector) ShortVector.fromMemorySegment(SHORTS, bytes, offset, ORDER)
                .convertShape(VectorOperators.ZERO_EXTEND_S2I, INTS, 0);
        IntVector sign = bits.and(0x8000).lanewise(VectorOperators.LSHL, 16);
        IntVector rest = bits.and(0x7fff).lanewise(VectorOperators.LSHL, 13);
        IntVector finite = rest.reinterpretAsFloats().mul(0x1.0p112f).reinterpretAsInts();
        IntVector magnitude = finite.blend(rest.or(0x7f80_0000), rest.compare(VectorOperators.GE, 0x0f80_0000));
        return magnitude.or(sign).reinterpretAsFloats();
    }

    /** WIDTH values of BF16 from a byte on. */
    static FloatVector brainHalves(MemorySegment bytes, long offset) {
        return ((IntVector) ShortVector.fromMemorySegment(SHORTS, bytes, offset, ORDER)
                        .convertShape(VectorOperators.ZERO_EXTEND_S2I, INTS, 0))
                .lanewise(VectorOperators.LSHL, 16)
                .reinterpretAsFloats();
    }

    /** The little-endian 32 bits at a byte. */
    static int bits32(MemorySegment bytes, long offset) {
        return bytes.get(INT, offset);
    }

    /** The F16 at a byte. */
    static float half(MemorySegment bytes, long offset) {
        return Float.float16ToFloat(bytes.get(SHORT, offset));
    }
}
