package shoal.bridge.kernel.cuda;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import shoal.bridge.kernel.DeviceInfo;
import shoal.bridge.kernel.device.DeviceKernels;
import shoal.bridge.kernel.device.KernelCache;

/** Libraries that stand in for NVIDIA's, made by the C++ compiler that is here; resources/cuda/README.md says what they are worth. */
public final class CudaStandIn {
    private CudaStandIn() {}

    /** Writes and compiles them; the test is skipped where there is no compiler. */
    static void make(Path directory) throws Exception {
        for (String name : List.of("emulator.h", "cuda.cpp", "nvrtc.cpp")) {
            try (InputStream in = CudaStandIn.class.getResourceAsStream("/cuda/" + name)) {
                Files.write(directory.resolve(name), in.readAllBytes());
            }
        }
        compile(directory, "cuda.cpp", "libcuda.so.1");
        compile(directory, "nvrtc.cpp", "libnvrtc.so.13");
    }

    private static void compile(Path directory, String source, String library) throws Exception {
        int code;
        try {
            code = new ProcessBuilder(
                            "c++",
                            "-std=c++17",
                            "-shared",
                            "-fPIC",
                            "-o",
                            directory.resolve(library).toString(),
                            directory.resolve(source).toString(),
                            "-ldl")
                    .inheritIO()
                    .start()
                    .waitFor();
        } catch (IOException absent) {
            code = -1;
        }
        assumeTrue(code == 0, "no C++ compiler here to make the stand-in library with");
    }

    /** Kernels on the stand-in; the caller closes them. The directory serves one process. */
    public static DeviceKernels open(Path directory) throws Exception {
        if (!Files.exists(directory.resolve("libnvrtc.so.13"))) {
            make(directory);
        }
        Nvrtc compiler = Nvrtc.load(directory.resolve("libnvrtc.so.13").toString());
        Cuda calls =
                ((Cuda.Found.Here) Cuda.load(directory.resolve("libcuda.so.1").toString())).calls();
        Environment.set("SHOAL_STAND_IN", directory.toString());
        long memory = calls.deviceMemory(calls.devices().getFirst());
        var info = new DeviceInfo("cuda:0", "Stand-in", "CUDA " + calls.driverVersion(), memory, memory, true);
        return new DeviceKernels(new CudaDevice(
                calls,
                new PtxSource(compiler, new KernelCache(null), false),
                calls.devices().getFirst(),
                info));
    }
}
