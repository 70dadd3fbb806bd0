package shoal.bridge.kernel.cuda;

import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.device.DeviceAttentionTest;

/** As {@link CudaKernelsTest}, attention. */
class CudaAttentionTest extends DeviceAttentionTest {
    /** Tensor cores take activations as F16 or BF16. */
    @Override
    protected double halves() {
        return 1e-2;
    }

    @Override
    protected Kernels openDevice() throws Exception {
        return CudaStandIn.open();
    }

    /** The stand-in is slow. */
    @Override
    protected int stages() {
        return 100;
    }

    @Override
    protected int steps() {
        return 70;
    }
}
