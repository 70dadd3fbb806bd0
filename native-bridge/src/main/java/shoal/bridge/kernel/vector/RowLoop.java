package shoal.bridge.kernel.vector;

import java.lang.foreign.MemorySegment;

/** A type's own loop over a row, for one token, without a scratch for levels. Stateless. */
interface RowLoop {
    /**
     * The row that starts at a byte: partial sums of its blocks' products with a token's levels go to sums, and its scales,
     * constants and factors to row, from index 0 on.
     */
    void multiply(
            MemorySegment w, long offset, int columns, short[] others, int other, BlockSums sums, UnpackedRows row);
}
