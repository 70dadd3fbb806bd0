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

    static final VectorSpecies<Integer> INTS = FLOATS.withLanes(int.class);
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

    /** Lanes of 16 bits: 16, or 8 where vectors have 128 bits, and then two groups make 16. */
    static final VectorSpecies<Short> LEVELS = WIDTH == 4 ? ShortVector.SPECIES_128 : ShortVector.SPECIES_256;

    static final int LEVEL_WIDTH = LEVELS.length();
    static final int LEVEL_GROUPS = SumOrder.LANES / LEVEL_WIDTH;

    /** Half as many lanes of 32 bits. */
    static final VectorSpecies<Integer> SUMS = LEVELS.withLanes(int.class);

    private static final VectorSpecies<Byte> LEVEL_BYTES = WIDTH == 4 ? ByteVector.SPECIES_64 : ByteVector.SPECIES_128;
    private static final ShortVector LEVEL_BIT = levelBits();

    private static ShortVector levelBits() {
        short[] bits = new short[LEVEL_WIDTH];
        for (int i = 0; i < bits.length; i++) {
            bits[i] = (short) (1 << i);
        }
        return ShortVector.fromArray(LEVELS, bits, 0);
    }

    /** One group of the 16 signed bytes at offset. */
    static ShortVector signedLevels(MemorySegment bytes, long offset, int group) {
        return (ShortVector) ByteVector.fromMemorySegment(LEVEL_BYTES, bytes, offset + group * LEVEL_WIDTH, ORDER)
                .convertShape(VectorOperators.B2S, LEVELS, 0);
    }

    /** One group of the 16 unsigned bytes at offset. */
    static ShortVector unsignedLevels(MemorySegment bytes, long offset, int group) {
        return (ShortVector) ByteVector.fromMemorySegment(LEVEL_BYTES, bytes, offset + group * LEVEL_WIDTH, ORDER)
                .convertShape(VectorOperators.ZERO_EXTEND_B2S, LEVELS, 0);
    }

    /** One group of the 16 signed bytes. */
    static ShortVector levels(ByteVector sixteen, int group) {
        return (ShortVector) sixteen.convertShape(VectorOperators.B2S, LEVELS, group);
    }

    /** 16 where a bit is set, else 0, for one group of the lower 16 bits; the lowest is lane 0. */
    static ShortVector fifthBits(int bits, int group) {
        ShortVector zero = ShortVector.zero(LEVELS);
        return zero.blend(
                (short) 16,
                ShortVector.broadcast(LEVELS, (short) (bits >>> group * LEVEL_WIDTH))
                        .and(LEVEL_BIT)
                        .compare(VectorOperators.NE, zero));
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

    /** WIDTH floats from a byte on. */
    static FloatVector floats(MemorySegment bytes, long offset) {
        return FloatVector.fromMemorySegment(FLOATS, bytes, offset, ORDER);
    }

    /** WIDTH whole numbers of 16 bits. */
    static FloatVector floats(short[] numbers, int at) {
        return (FloatVector) ShortVector.fromArray(SHORTS, numbers, at).convertShape(VectorOperators.S2F, FLOATS, 0);
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
