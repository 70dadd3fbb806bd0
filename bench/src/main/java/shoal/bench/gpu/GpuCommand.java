package shoal.bench.gpu;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import shoal.bench.report.BenchCommand;
import shoal.bench.report.Machine;
import shoal.bench.report.Report;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.device.DeviceKernels;
import shoal.bridge.make.FileType;

/** Whole models of random weights on a device, beside what its memory, its bus and its maker's library allow. */
@Command(
        name = "gpu",
        description =
                "Models of random weights on a device, beside what its memory, its bus and its maker's library do.")
public final class GpuCommand extends BenchCommand {
    @Option(
            names = "--device",
            defaultValue = "opencl:0",
            paramLabel = "NAME",
            description = "One that doctor lists; default ${DEFAULT-VALUE}.")
    private String device = "opencl:0";

    @Option(names = "--check", description = "Compare the device with the oracle before.")
    private boolean check;

    @Option(names = "--tiny", description = "Tiny models: only to see that all runs. So it is on a CPU.")
    private boolean tiny;

    @Option(names = "--large", paramLabel = "MODEL", description = "A shape of shoal make-model; default llama-7b.")
    private @Nullable String large;

    @Option(names = "--small", paramLabel = "MODEL", description = "To measure graphs with; default llama-1b.")
    private @Nullable String small;

    @Option(names = "--types", paramLabel = "TYPE,…", description = "Of the large model; default Q8_0,Q4_K_S,F16.")
    private @Nullable String types;

    @Option(names = "--prompt", paramLabel = "N", description = "Tokens of a prompt; default 512.")
    private @Nullable Integer prompt;

    @Option(names = "--steps", paramLabel = "N", description = "Tokens decoded in a round; default 64.")
    private @Nullable Integer steps;

    @Option(names = "--rounds", paramLabel = "N", description = "The best counts; default 3.")
    private @Nullable Integer rounds;

    @Option(names = "--peer", paramLabel = "FILE", description = "llama.cpp's llama-bench, built for this device.")
    private @Nullable Path peer;

    @Override
    protected Report measure() throws IOException, InterruptedException {
        var settings = new KernelSettings(device, 1);
        try (Kernels opened = KernelChoice.of(settings).provider().open(settings)) {
            if (!(opened instanceof DeviceKernels kernels)) {
                throw new IllegalArgumentException(
                        device + " is no device; ./shoal doctor lists those that there are.");
            }
            GpuPlan usual = tiny || kernels.info().processor() ? GpuPlan.tiny(device) : GpuPlan.usual(device);
            var plan = new GpuPlan(
                    device,
                    large == null ? usual.large() : large,
                    small == null ? usual.small() : small,
                    types == null ? usual.types() : types(types),
                    prompt == null ? usual.prompt() : prompt,
                    steps == null ? usual.steps() : steps,
                    rounds == null ? usual.rounds() : rounds,
                    usual.matrix(),
                    peer);
            var report = new Report("gpu", Machine.described());
            var findings = new Findings(report);
            if (check) {
                new GpuCheck(kernels, true, findings).run();
            }
            new GpuBench(plan, kernels, true, findings).run();
            return report;
        }
    }

    private static List<FileType> types(String names) {
        return Arrays.stream(names.split(",", -1)).map(FileType::of).toList();
    }

    private record Findings(Report report) implements GpuFindings {
        @Override
        public void setting(String key, Object value) {
            report.setting(key, value);
        }

        @Override
        public void row(Object... keysAndValues) {
            report.row(keysAndValues);
        }

        @Override
        public void ratio(String what, double value, double aim) {
            if (aim == 0) {
                report.ratio(what, value);
            } else {
                report.ratio(what, value, aim);
            }
        }

        @Override
        public void note(String sentence) {
            report.note(sentence);
        }

        @Override
        public void wrong(String sentence) {
            report.fail(sentence);
        }

        @Override
        public void progress(String line) {
            BenchCommand.progress(line);
        }
    }
}
