package shoal.bench.micro;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import shoal.bridge.hash.BlockHashers;
import shoal.codec.metainfo.BlockHasher;

/** The benchmark runs, tiny, with every provider, and knows no other. */
class HashBenchmarkTest {
    static java.util.List<String> providers() {
        return BlockHashers.all().stream().map(BlockHasher::name).toList();
    }

    @ParameterizedTest
    @MethodSource("providers")
    void hashesAsTheJdkDoes(String provider) {
        var jdk = new HashBenchmark();
        jdk.open();
        var other = new HashBenchmark();
        other.provider = provider;
        other.open();
        assertArrayEquals(jdk.hash(), other.hash());
    }

    @org.junit.jupiter.api.Test
    void refusesWhatIsNotHere() {
        var benchmark = new HashBenchmark();
        benchmark.provider = "abacus";
        assertThrows(IllegalArgumentException.class, benchmark::open);
    }
}
