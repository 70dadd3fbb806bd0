package shoal.bridge.kernel.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.RandomWeights;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.kernel.device.DeviceKernels;
import shoal.bridge.kernel.device.DeviceKernelsTest;
import shoal.codec.gguf.GgmlType;

/**
 * The same on CUDA's side: its calls, its graphs, and the kernels that only NVIDIA's GPUs have, compiled for the CPU. Whether a GPU
 * does as it is documented to, only a GPU can tell.
 */
class CudaKernelsTest extends DeviceKernelsTest {
    @TempDir
    private static Path directory;

    private DeviceKernels kernels;

    @Override
    protected Kernels openDevice() throws Exception {
        kernels = CudaStandIn.open(directory);
        return kernels;
    }

    /** Else the other tests would be of the common kernels. */
    @ParameterizedTest
    @MethodSource("types")
    void ownKernelsWereSeenToAgree(GgmlType type) {
        try (Arena arena = Arena.ofShared()) {
            int columns = 3 * Math.max(32, type.blockValues());
            StageProgram.Builder builder = new StageProgram.Builder();
            Slot in = builder.slot("in", columns);
            Slot out = builder.slot("out", 45);
            var bytes = RandomWeights.blocks(type, 45 * columns, new Random(1), arena);
            builder.add(new Op.MatMul(kernels.prepare(type, 45, columns, bytes), null, in, out));
            kernels.compile(builder.build(in, out, new CacheShape(0, 1, 1))).close();
        }
        assertEquals(NvidiaProducts.OWN, kernels.products(type));
    }
}
