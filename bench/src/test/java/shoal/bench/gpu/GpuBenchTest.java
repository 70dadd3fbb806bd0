package shoal.bench.gpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelProvider;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.device.DeviceKernels;
import shoal.bridge.make.FileType;

/** That a device's bench runs, wherever there is a device; what it finds, only a GPU's owner can judge. */
class GpuBenchTest {
    /** Keeps what it hears. */
    private static final class Heard implements GpuFindings {
        private final List<String> rows = new ArrayList<>();
        private final List<String> ratios = new ArrayList<>();
        private final List<String> notes = new ArrayList<>();

        @Override
        public void setting(String key, Object value) {
            assertFalse(key.isEmpty());
        }

        @Override
        public void row(Object... keysAndValues) {
            rows.add((String) keysAndValues[1]);
            for (int i = 2; i < keysAndValues.length; i += 2) {
                if (keysAndValues[i + 1] instanceof Double number) {
                    assertTrue(Double.isFinite(number) && number > 0, keysAndValues[1] + ", " + keysAndValues[i]);
                }
            }
        }

        @Override
        public void ratio(String what, double value, double aim) {
            assertTrue(Double.isFinite(value) && value > 0, what);
            ratios.add(what);
        }

        @Override
        public void note(String sentence) {
            notes.add(sentence);
        }

        @Override
        public void wrong(String sentence) {
            throw new AssertionError(sentence);
        }

        @Override
        public void progress(String line) {
            assertFalse(line.isEmpty());
        }
    }

    @Test
    void measuresTinyModels() throws Exception {
        KernelProvider provider = KernelChoice.deviceProviders().stream()
                .filter(each -> each.readiness() instanceof KernelProvider.Readiness.Ready)
                .findFirst()
                .orElse(null);
        assumeTrue(provider != null, "no device to compute on");
        String device = provider.devices().getFirst().id();
        var heard = new Heard();
        try (var kernels = (DeviceKernels) provider.open(new KernelSettings(device, 1))) {
            new GpuBench(GpuPlan.tiny(device), kernels, true, heard).run();
            assertEquals(0, kernels.allocatedBytes());
        }
        for (String type : List.of("Q8_0", "Q4_K_S", "F16")) {
            assertTrue(heard.rows.contains("llama-tiny " + type), heard.rows.toString());
            assertTrue(heard.ratios.contains("decode, " + type + ": weights' bytes over the copy's"));
        }
        assertTrue(heard.ratios.contains("steps from a graph over steps without"));
        assertEquals(
                provider.devices().getFirst().processor(),
                heard.notes.contains("The device is a CPU: these figures say nothing of a GPU's speed."));
    }

    @Test
    void readsWhatLlamaBenchSays() {
        var heard = new Heard();
        GpuPeer.compare("""
                [ { "n_prompt": 512, "n_gen": 0, "avg_ns": 1, "avg_ts": 1000.5, "stddev_ts": 0.1 },
                  { "n_prompt": 0, "n_gen": 64, "avg_ns": 1, "avg_ts": 50.25, "stddev_ts": 0.1 } ]
                """, FileType.Q8_0, 60, 2_000, heard);
        assertEquals(List.of("prompt, Q8_0: over llama.cpp", "decode, Q8_0: over llama.cpp"), heard.ratios);
        GpuPeer.compare("no such thing", FileType.F16, 1, 1, heard);
        assertEquals(List.of("llama-bench told nothing that is understood here, with F16."), heard.notes);
    }

    @Test
    void planHasBounds() {
        var usual = GpuPlan.usual("cuda:0");
        assertThrows(
                IllegalArgumentException.class,
                () -> new GpuPlan("cuda:0", "llama-7b", "llama-1b", usual.types(), 1, 1, 1, 1, null));
        assertThrows(
                IllegalArgumentException.class,
                () -> new GpuPlan("cuda:0", "llama-7b", "llama-1b", List.of(), 2, 1, 1, 1, null));
    }

    @ParameterizedTest
    @ValueSource(strings = {"nosuch:0", "cpu", "--nosuch", "opencl:0 cuda:0", "--peer", "opencl:999"})
    void mistakesAreSaidInOneLine(String arguments, @TempDir Path folder) throws Exception {
        var out = new ByteArrayOutputStream();
        var all =
                new ArrayList<>(List.of("--report", folder.resolve("report.txt").toString()));
        all.addAll(List.of(arguments.split(" ")));
        int code = GpuMain.run(new PrintStream(out, true, StandardCharsets.UTF_8), all.toArray(String[]::new));
        String said = out.toString(StandardCharsets.UTF_8);
        assertTrue(code == 1 || code == 2, said);
        assertEquals(1, said.lines().count(), said);
        if (code == 1) {
            assertEquals(said, Files.readString(folder.resolve("report.txt")));
        }
    }
}
