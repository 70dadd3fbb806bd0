package shoal.bench.micro;

import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The benchmark runs, and would notice a wrong answer. Its times are not looked at. */
class MatMulBenchmarkTest {
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
