package shoal.bridge.kernel.vector;

import shoal.bridge.kernel.host.HostBuffer;

/** Pieces of rows, unpacked: value c of a row is scale * level, and constant * factor more where the type adds a constant. */
final class UnpackedRows {
    /** Scales and constants behind the last, so that a vector of 16 may be written where 8 are meant. */
    private static final int SPARE = 8;

    /** From one row's first level to the next row's. */
    final int stride;

    /** -128..127, row after row. */
    final short[] levels;

    /** One per 32 values. */
    final float[] scales;

    /** One per 32 values. */
    final float[] constants;

    /** Two per 32 values, one per half: whole numbers by which constants are multiplied. */
    final int[] factors;

    /** Two per 32 values, one per half: whole numbers by which levels are multiplied, where they are not in the levels already. */
    final int[] halfScales;

    /** @param stride a multiple of 32 */
    UnpackedRows(int rows, int stride) {
        this.stride = stride;
        levels = new short[rows * stride];
        int parts = rows * stride / HostBuffer.BLOCK;
        scales = new float[parts + SPARE];
        constants = new float[parts + SPARE];
        factors = new int[2 * parts];
        halfScales = new int[2 * parts];
    }
}
