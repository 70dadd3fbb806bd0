package shoal.bridge.kernel.vector;

import java.lang.foreign.MemorySegment;

/** Makes levels and scales of one type's blocks, as its {@link shoal.bridge.kernel.scalar.Dequantizer} does. Stateless. */
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

    /** Unpacks whole blocks that start at a byte; the first value's level goes to index at, a multiple of 32, of to.levels. */
    void unpack(MemorySegment w, long offset, int columns, UnpackedRows to, int at);
}
