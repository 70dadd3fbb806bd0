package shoal.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.json.JsonMapper;

/** The command line of the benches: the list, the mistakes, and the two forms of a report. */
class MainTest {
    @Test
    void listsWhatCanBeMeasured() {
        Run run = run();
        assertEquals(0, run.exitCode());
        for (String name : List.of("memory", "matmul", "engine")) {
            assertTrue(run.out().contains("  " + name + " "), run.out());
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"nosuch", "matmul --rows many", "matmul --nosuch", "matmul --types F32", "matmul --columns 64"})
    void mistakesAreOneLine(String arguments) {
        Run run = run(arguments.split(" "));
        assertFalse(run.exitCode() == 0);
        assertEquals(1, run.err().lines().count(), run.err());
        assertTrue(run.err().startsWith("shoal bench: "), run.err());
    }

    @Test
    void printsAReportAndWritesItToo(@TempDir Path folder) throws Exception {
        Path file = folder.resolve("reports/matmul.json");
        Run run =
                run(("matmul --types Q8_0 --kernels vector,scalar --rows 64 --columns 256 --seconds 0 --json --report "
                                + file)
                        .split(" "));
        assertEquals(0, run.exitCode(), run.err());
        var json = JsonMapper.shared().readTree(run.out());
        assertEquals("matmul", json.get("bench").asString());
        assertTrue(json.get("machine").get("readBytesPerSecond").asDouble() > 0);
        assertEquals(2, json.get("rows").size(), run.out());
        assertEquals(1, json.get("ratios").size(), run.out());
        assertEquals(json, JsonMapper.shared().readTree(Files.readString(file)));
    }

    private record Run(int exitCode, String out, String err) {}

    private static Run run(String... arguments) {
        PrintStream out = System.out;
        PrintStream err = System.err;
        var heardOut = new ByteArrayOutputStream();
        var heardErr = new ByteArrayOutputStream();
        try {
            System.setOut(new PrintStream(heardOut, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(heardErr, true, StandardCharsets.UTF_8));
            int exitCode = Main.run(arguments);
            return new Run(
                    exitCode, heardOut.toString(StandardCharsets.UTF_8), heardErr.toString(StandardCharsets.UTF_8));
        } finally {
            System.setOut(out);
            System.setErr(err);
        }
    }
}
