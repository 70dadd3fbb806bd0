package shoal.bridge.kernel.vector;

import java.lang.foreign.MemorySegment;

/**
 * A type's own loop over a row, for one token, without a scratch for levels. Stateless.
 *
 * <p>Vectors that pass through a call which the compiler did not inline are objects, and the loop is ten times slower. Past some
 * number of nodes (NodeCountInliningCutoff, which no flag changes) it inlines no more methods of ours, though still those of the
 * vector library. So loops are small, one class per type and one method per step, and the largest call no method of ours at all. To
 * see it: {@code -Xlog:gc} tells of collections where there is nothing to collect, and {@code PrintInlining} names the call.
 */
interface RowLoop {
    /** How long sums of products fit in 16 bits, and so how they are to be folded. */
    enum Fold {
        /** Levels are -128..128: only the products of columns j and j + 16 fit, one sum per j. */
        EARLY,
        /** Levels are -16..16: half of a block's products fit. */
        LATE,
        /** Levels are -32..32 and halves have scales: 8 products fit, one product per column. */
        HALVES
    }

    Fold fold();

    /** What is to be added to each level. */
    default int bias() {
        return 0;
    }

    /**
     * The row that starts at a byte: products of its levels with a token's, partly summed, go to {@link BlockSums#products}; its
     * scales, constants and factors to row or, where they are small integers, to sums; all from index 0 on. With scales that lie apart
     * from levels, levels come first: a pass over scales alone strides, and the processor does not fetch ahead of it.
     */
    void multiply(
            MemorySegment w, long offset, int columns, short[] others, int other, BlockSums sums, UnpackedRows row);
}
