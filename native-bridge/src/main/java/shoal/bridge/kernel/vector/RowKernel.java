package shoal.bridge.kernel.vector;

import java.lang.foreign.MemorySegment;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.bridge.kernel.host.HostWeights;

/**
 * Rows of one tensor type times activations. A subclass has two inner loops: four rows with one token (decode, bound by memory) and
 * one row with four tokens (prefill, bound by arithmetic). Both leave 4 * 16 lanes to be added.
 *
 * <p>Keep these loops small: past a number of nodes the compiler inlines no more (NodeCountInliningCutoff), vectors are then
 * objects, and the loop is ten times slower. Four rows at once fit for the types that are quick to unpack.
 */
abstract class RowKernel implements MatrixKernel {
    private static final int LANES = SumOrder.LANES;

    /** Rows that stay in the cache while all tokens pass. */
    private static final int ROWS_IN_CACHE = 16;

    /** Four rows that start at bytes a, b, c and d, times token t. lanes: 64, row after row. */
    abstract void fourRows(
            MemorySegment w, long a, long b, long c, long d, int columns, HostBuffer x, int t, float[] lanes);

    /** The row that starts at a byte, times tokens a, b, c and d. lanes: 64, token after token. */
    abstract void fourTokens(
            MemorySegment w, long row, int columns, HostBuffer x, int a, int b, int c, int d, float[] lanes);

    @Override
    public final void multiply(
            HostWeights w,
            int firstRow,
            int rowCount,
            HostBuffer x,
            int tokens,
            float[] out,
            int outStride,
            int outColumn) {
        float[] lanes = new float[4 * LANES];
        if (tokens == 1) {
            farRows(w, firstRow, rowCount, x, out, outColumn, lanes);
            return;
        }
        for (int block = 0; block < rowCount; block += ROWS_IN_CACHE) {
            int end = Math.min(block + ROWS_IN_CACHE, rowCount);
            for (int t = 0; t < tokens; t += 4) {
                int last = tokens - 1;
                for (int r = block; r < end; r++) {
                    int b = Math.min(t + 1, last);
                    int c = Math.min(t + 2, last);
                    int d = Math.min(t + 3, last);
                    fourTokens(w.bytes(), (firstRow + r) * w.rowBytes(), w.columns(), x, t, b, c, d, lanes);
                    int to = outColumn + r;
                    out[t * outStride + to] = SumOrder.tree(lanes, 0);
                    out[b * outStride + to] = SumOrder.tree(lanes, (b - t) * LANES);
                    out[c * outStride + to] = SumOrder.tree(lanes, (c - t) * LANES);
                    out[d * outStride + to] = SumOrder.tree(lanes, (d - t) * LANES);
                }
            }
        }
    }

    /** Four streams, a quarter of the rows apart: one stream alone does not keep the memory busy. */
    private void farRows(
            HostWeights w, int firstRow, int rowCount, HostBuffer x, float[] out, int outColumn, float[] lanes) {
        int quarter = (rowCount + 3) / 4;
        int last = rowCount - 1;
        for (int r = 0; r < quarter; r++) {
            int b = Math.min(r + quarter, last);
            int c = Math.min(r + 2 * quarter, last);
            int d = Math.min(r + 3 * quarter, last);
            fourRows(
                    w.bytes(),
                    (firstRow + r) * w.rowBytes(),
                    (firstRow + b) * w.rowBytes(),
                    (firstRow + c) * w.rowBytes(),
                    (firstRow + d) * w.rowBytes(),
                    w.columns(),
                    x,
                    0,
                    lanes);
            out[outColumn + r] = SumOrder.tree(lanes, 0);
            out[outColumn + b] = SumOrder.tree(lanes, LANES);
            out[outColumn + c] = SumOrder.tree(lanes, 2 * LANES);
            out[outColumn + d] = SumOrder.tree(lanes, 3 * LANES);
        }
    }
}
