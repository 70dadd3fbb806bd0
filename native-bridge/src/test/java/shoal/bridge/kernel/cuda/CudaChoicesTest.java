package shoal.bridge.kernel.cuda;

import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.device.DeviceChoicesTest;

/** As {@link CudaKernelsTest}, the highest logits. */
class CudaChoicesTest extends DeviceChoicesTest {
    @Override
    protected Kernels openDevice() throws Exception {
        return CudaStandIn.open();
    }
}
