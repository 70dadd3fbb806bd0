package shoal.verticles.inferencestage;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.verticles.config.ProfileReader;

/** A machine's owner says how much of it a node may take. */
class StageHostTest {
    private static Set<Thread> computing() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().startsWith("shoal-compute-"))
                .collect(Collectors.toSet());
    }

    /** The thread that hands work over computes too. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 5})
    void asManyThreadsComputeAsTheProfileSays(int threads) {
        Set<Thread> before = computing();
        var profile = new ProfileReader().set("compute.threads=" + threads).read();
        try (var _ = new StageHost(profile.compute())) {
            Set<Thread> more = computing();
            more.removeAll(before);
            assertEquals(threads - 1, more.size());
        }
    }
}
