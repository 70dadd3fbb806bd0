package shoal.bridge.kernel.vector;

import shoal.bridge.kernel.host.HostBuffer;

/** Pieces of rows, unpacked: value c of a row is scale * level, and constant * factor more where the type adds a constant. */
final class UnpackedRows {
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

    /** Whatever an unpacker puts there for a moment. */
    final float[] scratch = new float[16];

    /** @param stride a multiple of 32 */
    UnpackedRows(int rows, int stride) {
        this.stride = stride;
        levels = new short[rows * stride];
        scales = new float[rows * stride / HostBuffer.BLOCK];
        constants = new float[scales.length];
        factors = new int[2 * scales.length];
        halfScales = new int[2 * scales.length];
    }
}
