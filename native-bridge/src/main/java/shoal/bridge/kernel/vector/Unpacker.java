package shoal.bridge.kernel.vector;

import java.lang.foreign.MemorySegment;

/**
 * Makes levels and scales of one type's blocks, as its {@link shoal.bridge.kernel.scalar.Dequantizer} does. Stateless.
 *
 * <p>Two loops and not one, since the compiler bounds what it inlines into one ({@link RowLoop}).
 */
interface Unpacker {
    /** Which constants values have beside their levels. */
    enum Constants {
        NONE,
        /** One per 32 values. */
        PER_PART,
        /** One per 32 values, times a whole number per 16. */
        PER_HALF
    }

    Constants constants();

    /** Whether levels are to be multiplied by {@link UnpackedRows#halfScales}: with them they would not fit in a product of 16 bits. */
    default boolean scalesHalves() {
        return false;
    }

    /** Of whole blocks that start at a byte: one scale, constant and pair of factors per 32 values go to index part on. */
    void unpackScales(MemorySegment w, long offset, int columns, UnpackedRows to, int part);

    /** Of whole blocks that start at a byte: levels go to index at on. */
    void unpackLevels(MemorySegment w, long offset, int columns, UnpackedRows to, int at);

    /** What no level is beyond, above and below 0; without {@link UnpackedRows#halfScales}. */
    default int largestLevel() {
        return 128;
    }
}
