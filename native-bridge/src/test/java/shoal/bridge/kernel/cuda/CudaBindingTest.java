package shoal.bridge.kernel.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageLostException;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.kernel.device.DeviceKernels;

/**
 * The calls of CUDA against a stand-in library that checks what it is given: that every parameter arrives
 * where cuda.h has it. It says nothing of a GPU.
 */
class CudaBindingTest {
    @Test
    void everyParameterArrives(@TempDir Path directory) throws Exception {
        CudaStandIn.make(directory);
        ProcessBuilder builder = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "--enable-native-access=ALL-UNNAMED",
                        "-cp",
                        System.getProperty("java.class.path"),
                        CudaBindingTest.class.getName())
                .redirectErrorStream(true);
        builder.environment().put("LD_LIBRARY_PATH", directory.toString());
        builder.environment().put("SHOAL_STAND_IN", directory.toString());
        builder.environment().put("XDG_CACHE_HOME", directory.toString());
        builder.environment().put("SHOAL_STAND_IN_CAPABILITY", "75");
        builder.environment().put("SHOAL_STAND_IN_REFUSES", "add");
        builder.environment().remove("SHOAL_NVRTC");
        Process process = builder.start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), output);
        assertEquals(
                List.of(
                        "cuda:0 (Stand-in), CUDA 13.1",
                        "66.0 to 130.0, 264.0 to 328.0",
                        "held 0",
                        "cuda:0 (Stand-in) is lost: cuLaunchKernel of add: CUDA_ERROR_STAND_IN (700)"),
                output.lines().toList());
    }

    public static void main(String[] arguments) {
        KernelSettings settings = new KernelSettings("cuda:0", 1);
        KernelChoice choice = KernelChoice.of(settings);
        try (Kernels kernels = choice.provider().open(settings)) {
            System.out.println(kernels.name() + ", "
                    + choice.provider().devices().getFirst().driver());
            float[] in = new float[5 * 33];
            for (int i = 0; i < in.length; i++) {
                in[i] = i;
            }
            float[] out = new float[2 * 33];
            run(kernels, in, out, false);
            System.out.println(out[0] + " to " + out[32] + ", " + out[33] + " to " + out[65]);
            System.out.println("held " + ((DeviceKernels) kernels).allocatedBytes());
            try {
                run(kernels, in, out, true);
            } catch (StageLostException failure) {
                System.out.println(failure.getMessage());
            }
        }
    }

    /** @param unknown whether a kernel is asked for that the stand-in has not */
    private static void run(Kernels kernels, float[] in, float[] out, boolean unknown) {
        StageProgram.Builder builder = new StageProgram.Builder();
        Slot values = builder.slot("values", 33);
        Slot picked = builder.slot("picked", 33);
        builder.add(new Op.Scale(values, 2));
        if (unknown) {
            builder.add(new Op.Add(values, values));
        }
        builder.addHead(new Op.SelectRows(values, picked));
        try (CompiledStage stage = kernels.compile(builder.build(values, picked, new CacheShape(0, 1, 1)));
                SequenceMemory sequence = stage.openSequence(10)) {
            stage.run(new StageBatch(
                    List.of(new StageBatch.Slice(sequence, 0, 5)),
                    null,
                    MemorySegment.ofArray(in),
                    new int[] {1, 4},
                    MemorySegment.ofArray(out)));
        }
    }
}
