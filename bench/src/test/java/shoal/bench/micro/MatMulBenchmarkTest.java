package shoal.bench.micro;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;

/** The benchmark runs, and would notice a wrong answer. Its times are not looked at. */
class MatMulBenchmarkTest {
    @Test
    void runsByTheHarness() throws Exception {
        var options = new OptionsBuilder()
                .include(MatMulBenchmark.class.getName() + ".multiply")
                .param("kernels", "vector", "scalar")
                .param("type", "Q8_0")
                .param("rows", "48")
                .param("columns", "256")
                .param("tokens", "2")
                .forks(0)
                .warmupIterations(0)
                .measurementIterations(1)
                .measurementTime(TimeValue.milliseconds(10))
                .shouldFailOnError(true)
                .verbosity(VerboseMode.SILENT)
                .build();
        assertEquals(2, new Runner(options).run().size(), "one result for vector, one for scalar");
    }

    @ParameterizedTest
    @ValueSource(strings = {"Q8_0", "Q4_0", "Q4_K", "Q6_K"})
    void noticesAWrongAnswer(String type) throws Exception {
        var benchmark = new MatMulBenchmark();
        benchmark.type = type;
        benchmark.rows = 40;
        benchmark.columns = 512;
        benchmark.tokens = 9;
        benchmark.open();
        float[] wrong = benchmark.multiply().clone();
        benchmark.check(wrong);
        wrong[8 * 40 + 2] = Math.nextUp(wrong[8 * 40 + 2]);
        assertThrows(IllegalStateException.class, () -> benchmark.check(wrong));
        benchmark.close();
    }
}
