package shoal.bench.micro;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
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
class MatVecBenchmarkTest {
    @Test
    void runsTiny() throws Exception {
        var options = new OptionsBuilder()
                .include(MatVecBenchmark.class.getName() + ".multiply")
                .param("rows", "48")
                .param("columns", "64")
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
    @ValueSource(strings = {"vector", "scalar"})
    void noticesAWrongAnswer(String kernels) throws Exception {
        var benchmark = tiny(kernels);
        float[] right = benchmark.multiply().clone();
        benchmark.check(right);
        float[] wrong = right.clone();
        wrong[29] += 1f;
        assertThrows(IllegalStateException.class, () -> benchmark.check(wrong));
        benchmark.close();
    }

    @Test
    void rivalsDoTheSameWork() throws Exception {
        var vector = tiny("vector");
        var scalar = tiny("scalar");
        assertArrayEquals(scalar.multiply(), vector.multiply());
        vector.close();
        scalar.close();
    }

    private static MatVecBenchmark tiny(String kernels) {
        var benchmark = new MatVecBenchmark();
        benchmark.kernels = kernels;
        benchmark.rows = 48;
        benchmark.columns = 64;
        benchmark.open();
        return benchmark;
    }
}
