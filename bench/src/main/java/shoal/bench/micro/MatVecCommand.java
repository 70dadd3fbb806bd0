package shoal.bench.micro;

import java.util.Collection;
import java.util.Map;
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

/** One token through one Q8_0 matrix, by each kind of kernels. */
@Command(name = "matvec", description = "One token through one Q8_0 matrix, by each kind of kernels (JMH).")
public final class MatVecCommand extends BenchCommand {
    @Option(names = "--rows", defaultValue = "4096", paramLabel = "N", description = "Default ${DEFAULT-VALUE}.")
    private int rows;

    @Option(
            names = "--columns",
            defaultValue = "4096",
            paramLabel = "N",
            description = "A multiple of 32; default ${DEFAULT-VALUE}.")
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
        if (columns % 32 != 0 || columns < 32 || rows < 1) {
            throw new IllegalArgumentException("--rows is " + rows + " and --columns is " + columns
                    + ", allowed are 1 or more and multiples of 32.");
        }
        Machine machine = Machine.measured();
        var options = new OptionsBuilder()
                .include(MatVecBenchmark.class.getName() + ".multiply")
                .param("rows", String.valueOf(rows))
                .param("columns", String.valueOf(columns))
                .param("threads", String.valueOf(threads))
                .forks(0) // this process has the flags already
                .warmupTime(TimeValue.seconds(seconds))
                .measurementTime(TimeValue.seconds(seconds))
                .shouldFailOnError(true)
                .verbosity(VerboseMode.SILENT)
                .build();
        Collection<RunResult> results = new Runner(options).run();
        var report = new Report("matvec", machine)
                .setting("rows", rows)
                .setting("columns", columns)
                .setting("threads", threads);
        double bytes = (double) rows * columns / 32 * 34;
        Map<String, Double> rates = new TreeMap<>();
        for (RunResult each : results) {
            var result = each.getPrimaryResult();
            double seconds = result.getScore() * unit(result.getScoreUnit());
            double rate = bytes / seconds;
            String kernels = each.getParams().getParam("kernels");
            rates.put(kernels, rate);
            report.row(
                    "kernels",
                    kernels,
                    "µs",
                    seconds * 1e6,
                    "GB/s",
                    rate / 1e9,
                    "of memory",
                    rate / machine.readBytesPerSecond(threads));
        }
        Double vector = rates.get("vector");
        Double scalar = rates.get("scalar");
        if (vector != null && scalar != null) {
            report.ratio("vector over scalar", vector / scalar);
        }
        return report;
    }

    private static double unit(String unit) {
        return switch (unit) {
            case "ns/op" -> 1e-9;
            case "us/op" -> 1e-6;
            case "ms/op" -> 1e-3;
            default -> 1;
        };
    }
}
