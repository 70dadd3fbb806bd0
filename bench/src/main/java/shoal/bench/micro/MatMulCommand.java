package shoal.bench.micro;

import java.util.Collection;
import java.util.List;
import java.util.TreeMap;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import shoal.bench.report.BenchCommand;
import shoal.bench.report.Machine;
import shoal.bench.report.Report;
import shoal.codec.gguf.GgmlType;

/** Some tokens through one matrix of each type, by each kind of kernels. */
@Command(name = "matmul", description = "Tokens through one matrix of each tensor type, by each kind of kernels (JMH).")
public final class MatMulCommand extends BenchCommand {
    @Option(
            names = "--types",
            split = ",",
            defaultValue = "Q8_0,Q4_0,Q4_K,Q5_K,Q6_K",
            paramLabel = "TYPE",
            description = "Tensor types; default ${DEFAULT-VALUE}.")
    private List<GgmlType> types = List.of();

    @Option(
            names = "--kernels",
            split = ",",
            defaultValue = "vector",
            paramLabel = "NAME",
            description = "Kinds of kernels; the first is the rival of the others. Default ${DEFAULT-VALUE}.")
    private List<String> kernels = List.of();

    @Option(
            names = "--tokens",
            defaultValue = "1",
            paramLabel = "N",
            description = "1 is what decode does, 512 what prefill does; default ${DEFAULT-VALUE}.")
    private int tokens;

    @Option(names = "--rows", defaultValue = "16384", paramLabel = "N", description = "Default ${DEFAULT-VALUE}.")
    private int rows;

    @Option(
            names = "--columns",
            defaultValue = "2048",
            paramLabel = "N",
            description = "A multiple of 256; default ${DEFAULT-VALUE}.")
    private int columns;

    @Option(names = "--threads", defaultValue = "1", paramLabel = "N", description = "Default ${DEFAULT-VALUE}.")
    private int threads;

    @Option(
            names = "--seconds",
            defaultValue = "1",
            paramLabel = "S",
            description = "Each of three warm-ups and five measurements; default ${DEFAULT-VALUE}.")
    private int seconds;

    @Override
    protected Report measure() throws Exception {
        if (columns % 256 != 0 || columns < 256 || rows < 1 || tokens < 1) {
            throw new IllegalArgumentException("--rows is " + rows + ", --columns is " + columns + " and --tokens is "
                    + tokens + ", allowed are 1 or more, multiples of 256, and 1 or more.");
        }
        for (GgmlType type : types) {
            if (!MatMulBenchmark.TYPES.contains(type)) {
                throw new IllegalArgumentException(
                        "--types has " + type + ", allowed are " + MatMulBenchmark.TYPES + ".");
            }
        }
        Machine machine = Machine.measured();
        var options = new OptionsBuilder()
                .include(MatMulBenchmark.class.getName() + ".multiply")
                .param("type", types.stream().map(GgmlType::name).toArray(String[]::new))
                .param("kernels", kernels.toArray(String[]::new))
                .param("tokens", String.valueOf(tokens))
                .param("rows", String.valueOf(rows))
                .param("columns", String.valueOf(columns))
                .param("threads", String.valueOf(threads))
                .forks(0) // this process has the flags already, and a real one runs many types too
                .warmupTime(TimeValue.seconds(seconds))
                .measurementTime(TimeValue.seconds(seconds))
                .shouldFailOnError(true)
                .verbosity(VerboseMode.SILENT)
                .build();
        Collection<RunResult> results = new Runner(options).run();
        var report = new Report("matmul", machine)
                .setting("tokens", tokens)
                .setting("rows", rows)
                .setting("columns", columns)
                .setting("threads", threads);
        var rates = new TreeMap<String, Double>();
        for (RunResult each : results) {
            GgmlType type = GgmlType.valueOf(each.getParams().getParam("type"));
            String kind = each.getParams().getParam("kernels");
            double taken = each.getPrimaryResult().getScore() / 1e3; // milliseconds, as the benchmark says
            double bytes = type.sizeBytes((long) rows * columns) / taken;
            double products = (double) rows * columns * tokens / taken;
            rates.put(type + " " + kind, products);
            report.row(
                    "type",
                    type.name(),
                    "kernels",
                    kind,
                    "ns per 32 weights",
                    taken * 1e9 * 32 / ((double) rows * columns),
                    "GMAC/s",
                    products / 1e9,
                    "GB/s",
                    bytes / 1e9,
                    "of memory",
                    bytes / machine.readBytesPerSecond(threads));
        }
        for (GgmlType type : types) {
            for (String kind : kernels.subList(1, kernels.size())) {
                double rival = rates.getOrDefault(type + " " + kernels.getFirst(), Double.NaN);
                double ours = rates.getOrDefault(type + " " + kind, Double.NaN);
                report.ratio(type + ", " + kind + " over " + kernels.getFirst(), ours / rival);
            }
        }
        return report;
    }
}
