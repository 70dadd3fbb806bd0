package shoal.bridge.kernel.cuda;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;
import shoal.bridge.kernel.DeviceInfo;
import shoal.bridge.kernel.device.DeviceKernels;
import shoal.bridge.kernel.device.KernelCache;

/** Libraries that stand in for NVIDIA's, made by the C++ compiler that is here; resources/cuda/README.md says what they are worth. */
public final class CudaStandIn {
    private static final List<String> SOURCES = List.of("emulator.h", "cuda.cpp", "nvrtc.cpp");

    private CudaStandIn() {}

    private static byte[] source(String name) throws IOException {
        try (InputStream in = CudaStandIn.class.getResourceAsStream("/cuda/" + name)) {
            return in.readAllBytes();
        }
    }

    /** Writes and compiles them; the test is skipped where there is no compiler. */
    static void make(Path directory) throws Exception {
        for (String name : SOURCES) {
            Files.write(directory.resolve(name), source(name));
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

    /** Kernels on the stand-in; the caller closes them. What was compiled is kept in target until its source changes. */
    public static DeviceKernels open() throws Exception {
        Path directory = Path.of("target", "cuda-stand-in", version()).toAbsolutePath();
        if (!Files.exists(directory.resolve("libnvrtc.so.13"))) {
            Files.createDirectories(directory);
            make(directory);
        }
        return open(directory);
    }

    private static String version() throws Exception {
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        for (String name : SOURCES) {
            digest.update(source(name));
        }
        return HexFormat.of().formatHex(digest.digest(), 0, 8);
    }

    private static DeviceKernels open(Path directory) throws Exception {
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
