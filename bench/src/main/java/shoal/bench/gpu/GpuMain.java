package shoal.bench.gpu;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.DeviceInfo;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelProvider;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.device.DeviceKernels;

/**
 * All that one call can find out about a machine's first device, without the rest of Shoal: whether it computes rightly, then how fast.
 * {@code GpuMain [DEVICE] [--tiny] [--check] [--common] [--no-graphs] [--peer FILE] [--report FILE]}; exit code 1 if something is wrong.
 * {@code --common} leaves a maker's own kernels alone, {@code --no-graphs} launch graphs: to find out whose fault it is.
 */
final class GpuMain {
    private final PrintStream out;
    private final StringBuilder report = new StringBuilder();
    private boolean wrong;

    private GpuMain(PrintStream out) {
        this.out = out;
    }

    public static void main(String[] arguments) throws IOException {
        System.exit(run(new PrintStream(System.out, true, StandardCharsets.UTF_8), arguments));
    }

    static int run(PrintStream out, String... arguments) throws IOException {
        String device = null;
        boolean tiny = false;
        boolean checkAlone = false;
        boolean common = false;
        boolean graphs = true;
        Path peer = null;
        Path file = null;
        for (int i = 0; i < arguments.length; i++) {
            String argument = arguments[i];
            boolean takesNext = argument.equals("--peer") || argument.equals("--report");
            if (takesNext && i + 1 == arguments.length) {
                out.println("shoal: " + argument + " needs the name of a file.");
                return 2;
            }
            switch (argument) {
                case "--tiny" -> tiny = true;
                case "--check" -> checkAlone = true;
                case "--common" -> common = true;
                case "--no-graphs" -> graphs = false;
                case "--peer" -> peer = Path.of(arguments[++i]);
                case "--report" -> file = Path.of(arguments[++i]);
                default -> {
                    if (argument.startsWith("-") || device != null) {
                        out.println("shoal: '" + argument + "' is not known. Allowed are the name of a device, --tiny,"
                                + " --check, --common, --no-graphs, --peer FILE and --report FILE.");
                        return 2;
                    }
                    device = argument;
                }
            }
        }
        return new GpuMain(out).measure(device, new Wishes(tiny, checkAlone, common, graphs), peer, file);
    }

    /** What is measured, and with what. */
    private record Wishes(boolean tiny, boolean checkAlone, boolean common, boolean graphs) {}

    private int measure(@Nullable String device, Wishes wishes, @Nullable Path peer, @Nullable Path file)
            throws IOException {
        try {
            String name = device == null ? first() : device;
            var settings = new KernelSettings(name, 1);
            try (Kernels opened = KernelChoice.of(settings).provider().open(settings)) {
                if (!(opened instanceof DeviceKernels kernels)) {
                    throw new IllegalArgumentException(name + " is no device");
                }
                boolean small = wishes.tiny() || kernels.info().processor();
                GpuPlan plan = (small ? GpuPlan.tiny(name) : GpuPlan.usual(name)).withPeer(peer);
                GpuBench.describe(kernels.info(), findings);
                findings.setting("graphs", wishes.graphs());
                findings.setting("own kernels", !wishes.common());
                kernels.useGraphs(wishes.graphs());
                if (wishes.common()) {
                    kernels.useCommonProducts();
                }
                new GpuCheck(kernels, wishes.graphs(), findings).run();
                if (!wishes.checkAlone()) {
                    new GpuBench(plan, kernels, wishes.graphs(), findings).run();
                }
            }
        } catch (RuntimeException failure) {
            findings.wrong(String.valueOf(failure.getMessage()));
        } catch (InterruptedException asked) {
            Thread.currentThread().interrupt();
            findings.wrong("interrupted");
        } finally {
            if (file != null) {
                Files.writeString(file, report.toString());
            }
        }
        return wrong ? 1 : 0;
    }

    /** The fastest driver's first device; what is missing is told. */
    private String first() {
        for (KernelProvider provider : KernelChoice.deviceProviders()) {
            switch (provider.readiness()) {
                case KernelProvider.Readiness.Ready() -> {
                    for (DeviceInfo info : provider.devices()) {
                        line("device", info.id() + ", " + info.name() + ", " + info.driver());
                    }
                    return provider.devices().getFirst().id();
                }
                case KernelProvider.Readiness.Missing(String reason, String remedy) ->
                    line("note", provider.name() + ": " + reason + ". " + remedy);
            }
        }
        throw new IllegalArgumentException("there is no device here");
    }

    private void line(String kind, String text) {
        String line = String.format(Locale.ROOT, "%-8s %s", kind, text);
        out.println(line);
        report.append(line).append('\n');
    }

    private final GpuFindings findings = new GpuFindings() {
        @Override
        public void setting(String key, Object value) {
            line("setting", key + " " + value);
        }

        @Override
        public void row(Object... keysAndValues) {
            var text = new StringBuilder();
            for (int i = 0; i + 1 < keysAndValues.length; i += 2) {
                text.append(i == 0 ? "" : ", ");
                text.append(keysAndValues[i].equals("what") ? "" : keysAndValues[i] + " ");
                text.append(
                        keysAndValues[i + 1] instanceof Double number
                                ? String.format(Locale.ROOT, "%.4g", number)
                                : keysAndValues[i + 1]);
            }
            line("row", text.toString());
        }

        @Override
        public void ratio(String what, double value, double aim) {
            String reached = aim == 0
                    ? ""
                    : String.format(Locale.ROOT, " (aim %.2f: %s)", aim, value >= aim ? "reached" : "not reached");
            line("ratio", String.format(Locale.ROOT, "%.3f  %s%s", value, what, reached));
        }

        @Override
        public void note(String sentence) {
            line("note", sentence);
        }

        @Override
        public void wrong(String sentence) {
            wrong = true;
            line("WRONG", sentence);
        }

        @Override
        public void progress(String line) {
            out.println("… " + line);
        }
    };
}
