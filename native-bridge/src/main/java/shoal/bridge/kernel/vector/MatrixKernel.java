package shoal.bridge.kernel.vector;

import shoal.bridge.kernel.host.HostBuffer;
import shoal.bridge.kernel.host.HostWeights;

/** Matrices of one tensor type times activations. Stateless: many threads at once, on disjoint rows. */
interface MatrixKernel {
    /** As {@link shoal.bridge.kernel.host.HostOperations#multiply}, for that type. */
    void multiply(
            HostWeights w,
            int firstRow,
            int rowCount,
            HostBuffer x,
            int tokens,
            float[] out,
            int outStride,
            int outColumn);
}
