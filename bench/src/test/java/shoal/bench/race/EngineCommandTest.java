package shoal.bench.race;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The race runs on a tiny model against two scripted peers, one of which crashes. Times are not looked at. */
class EngineCommandTest {
    @TempDir
    Path folder;

    @Test
    void readsBothFormsOfTheOtherProgramsOutput() throws IOException {
        // llama.cpp prints strings for some numbers' neighbours, ik_llama.cpp prints lines around the array.
        String theirs = """
                [ {"n_prompt": 512, "n_gen": 0, "n_depth": 0, "avg_ts": 51.25, "samples_ts": [ 51.25 ]},
                  {"n_prompt": 0, "n_gen": 64, "n_depth": 0, "avg_ts": 7.5, "samples_ts": [ 7.5 ]} ]
                """;
        assertEquals(new LlamaBench.Rates(51.25, 7.5), LlamaBench.parse(theirs));
        assertEquals(new LlamaBench.Rates(51.25, 7.5), LlamaBench.parse("warming up\n" + theirs + "build: 1234\n"));
        assertEquals(
                new LlamaBench.Rates(Double.NaN, 7.5),
                LlamaBench.parse("[{\"n_prompt\":0,\"n_gen\":8,\"avg_ts\":7.5}]"));
        assertThrows(IOException.class, () -> LlamaBench.parse("error: no model"));
    }

    @Test
    void ratiosAreMediansOfPairsInOneRound() {
        assertEquals(
                2,
                EngineCommand.ratio(List.of(4.0, 9.0, 2.0), List.of(List.of(2.0, 3.0, 1.0), List.of(1.0, 1.0, 1.0))));
        assertEquals(4, EngineCommand.ratio(List.of(4.0), List.of(List.of(Double.NaN), List.of(1.0))));
        assertTrue(Double.isNaN(EngineCommand.ratio(List.of(4.0), List.of())));
        assertEquals(2.5, EngineCommand.median(List.of(1.0, 4.0, 2.0, 3.0)));
    }

    @Test
    @DisabledOnOs(OS.WINDOWS)
    void racesOnATinyModel() throws Exception {
        Path good = script(
                "good",
                "echo '[{\"n_prompt\":8,\"n_gen\":0,\"avg_ts\":100},{\"n_prompt\":0,\"n_gen\":4,\"avg_ts\":10}]'");
        Path bad = script("bad", "echo boom >&2; exit 3");
        Path report = folder.resolve("report.json");
        int exitCode = new CommandLine(new EngineCommand())
                .execute(("--like llama-tiny --types Q8_0 --threads 1 --kernels vector,scalar --prompt 8 --generate 4"
                                + " --rounds 2 --no-memory --json --cache " + folder + " --peer good=" + good
                                + " --peer bad=" + bad + " --report " + report)
                        .split(" "));
        assertEquals(0, exitCode);
        JsonNode json = JsonMapper.shared().readTree(Files.readString(report));
        assertEquals(4, json.get("rows").size(), json.toString());
        assertTrue(json.get("rows").get(0).get("engine").asString().startsWith("shoal vector"), json.toString());
        assertEquals("good", json.get("rows").get(2).get("engine").asString());
        assertTrue(json.get("rows").get(0).get("generated tokens/s").asDouble() > 0);
        assertEquals(5, json.get("ratios").size(), json.toString());
        assertTrue(json.get("notes").get(0).asString().contains("bad failed: bad ended with 3: boom"), json.toString());

        String options = "--threads 1 --kernels vector --prompt 8 --generate 4 --rounds 1 --no-memory --json";
        String files = " --model " + folder.resolve("llama-tiny-Q8_0.gguf") + " --peer good=" + good;
        var ofFile = new CommandLine(new EngineCommand());
        assertEquals(0, ofFile.execute((options + files).split(" ")), "a file is taken as it is named");
    }

    @Test
    void refusesWhatIsNoProgram() {
        var failure = assertThrows(IOException.class, () -> LlamaBench.parse("x=" + folder.resolve("none"), List.of()));
        assertTrue(failure.getMessage().contains("does not exist"), failure.getMessage());
    }

    private Path script(String name, String body) throws IOException {
        Path file = folder.resolve(name);
        Files.writeString(file, "#!/bin/sh\n" + body + "\n");
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
        return file;
    }
}
