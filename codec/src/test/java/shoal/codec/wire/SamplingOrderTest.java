package shoal.codec.wire;

import static org.junit.jupiter.api.Assertions.assertNotNull;

import java.net.URL;
import java.net.URLClassLoader;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Whichever part of a sampling is met first in a process, the constants are whole. */
final class SamplingOrderTest {
    @ParameterizedTest
    @ValueSource(strings = {"Penalties", "Dry", "Xtc", "Mirostat", "Bias"})
    void greedyIsWholeWhicheverPartComesFirst(String part) throws Exception {
        URL classes = Sampling.class.getProtectionDomain().getCodeSource().getLocation();
        try (var fresh = new URLClassLoader(new URL[] {classes}, ClassLoader.getPlatformClassLoader())) {
            Class.forName("shoal.codec.wire.Sampling$" + part, true, fresh);
            Class<?> sampling = Class.forName("shoal.codec.wire.Sampling", true, fresh);
            Object greedy = sampling.getField("GREEDY").get(null);
            for (String component : new String[] {"penalties", "dry", "xtc"}) {
                assertNotNull(sampling.getMethod(component).invoke(greedy), component);
            }
        }
    }
}
