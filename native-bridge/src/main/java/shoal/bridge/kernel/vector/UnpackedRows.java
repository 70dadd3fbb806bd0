package shoal.bridge.kernel.vector;

import shoal.bridge.kernel.host.HostBuffer;

/** Pieces of rows, unpacked: value c of a row is scale * level, and constant * factor more where the type adds a constant. */
final class UnpackedRows {
    /** From one row's first level to the next row's. */
    final int stride;

    /** Whole numbers, row after row. */
    final float[] levels;

    /** One per 32 values. */
    final float[] scales;

    /** One per 32 values. */
    final float[] constants;

    /** Two per 32 values, one per half: whole numbers. */
    final float[] factors;

    /** Whatever an unpacker puts there for a moment. */
    final float[] scratch = new float[16];

    /** @param stride a multiple of 32 */
    UnpackedRows(int rows, int stride) {
        this(rows, stride, new float[rows * stride]);
    }

    private UnpackedRows(int rows, int stride, float[] levels) {
        this.stride = stride;
        this.levels = levels;
        scales = new float[rows * stride / HostBuffer.BLOCK];
        constants = new float[scales.length];
        factors = new float[2 * scales.length];
    }

    /** Of one row, without room for levels. */
    static UnpackedRows ofScales(int columns) {
        return new UnpackedRows(1, columns, new float[0]);
    }
}
