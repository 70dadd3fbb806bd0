package shoal.bridge.kernel.vector;

import java.lang.foreign.MemorySegment;
import shoal.bridge.kernel.host.HostBuffer;

/**
 * A type's own loop over a row, for one token: scales are unpacked before, levels where they are used. Stateless. It takes one row
 * only: two are past what the compiler inlines ({@link RowKernel}).
 */
interface RowLoop {
    /**
     * The row that starts at a byte, times token 0 of x; 16 lanes from at on.
     *
     * @param scales the row's scales and constants, each times that of its activations, and factors
     */
    void multiply(MemorySegment w, long row, int columns, HostBuffer x, UnpackedRows scales, float[] lanes, int at);
}
