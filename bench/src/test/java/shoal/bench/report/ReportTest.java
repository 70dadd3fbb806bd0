package shoal.bench.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import tools.jackson.databind.json.JsonMapper;

class ReportTest {
    private static final Machine MACHINE =
            new Machine("a processor", 2, 1L << 34, 0.5, "a system", "a JDK", 10e9, 15e9);

    @Test
    void rowsOfDifferentKeysShareOneTable() {
        String text = new Report("race", MACHINE)
                .row("who", "shoal", "tokens/s", 12.5)
                .row("who", "another", "bytes", 1_234_567L)
                .ratio("shoal over another", 1.25, 1.3)
                .note("another crashed once")
                .toText();
        assertTrue(text.contains("who      tokens/s      bytes\n"), text);
        assertTrue(text.contains("shoal       12.50           \n"), text);
        assertTrue(text.contains("another            1,234,567\n"), text);
        assertTrue(text.contains("1.25 ×  (aim 1.30: not reached)"), text);
        assertTrue(text.contains("note: another crashed once\n"), text);
        assertTrue(text.contains("reads 10.0 GB/s (one thread), 15.0 GB/s (2 threads)"), text);
    }

    @Test
    void jsonHasEverythingUnrounded() {
        var json = JsonMapper.shared()
                .readTree(new Report("race", MACHINE)
                        .setting("file", "x.gguf")
                        .row("tokens/s", 12.345678)
                        .ratio("a", 2.0)
                        .fail("wrong")
                        .toJson());
        assertEquals(12.345678, json.get("rows").get(0).get("tokens/s").asDouble());
        assertEquals("x.gguf", json.get("settings").get("file").asString());
        assertEquals(2.0, json.get("ratios").get(0).get("value").asDouble());
        assertTrue(json.get("ratios").get(0).get("target").isNull());
        assertTrue(json.get("failed").asBoolean());
        assertEquals("a processor", json.get("machine").get("cpu").asString());
    }

    @Test
    void someThreadsReadNoMoreThanAll() {
        assertEquals(10e9, MACHINE.readBytesPerSecond(1));
        assertEquals(15e9, MACHINE.readBytesPerSecond(2));
    }

    @Test
    void theProbeReadsEverything() {
        try (var probe = new ReadProbe(64 << 20)) {
            assertTrue(probe.bytesPerSecond(1) > 0);
            // 8 parts of 2^20 longs, part i full of i, read ten times over.
            assertEquals(10L * (1 << 20) * (7 * 8 / 2), probe.sum());
        }
    }
}
