package shoal.bench.serving;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** A stage of a tiny swarm is killed once, and its answer is the undisturbed one. Times are not looked at. */
class ServingCommandTest {
    @TempDir
    Path folder;

    @Test
    void aStageIsKilledAndNothingIsLost() throws Exception {
        Path report = folder.resolve("report.json");
        Path model = Path.of(
                System.getProperty("shoal.repository"), "verticles/src/main/resources/models/stories-q8_0.gguf");
        int exitCode = new CommandLine(new ServingCommand())
                .execute(
                        "--model",
                        model.toString(),
                        "--parts",
                        "kill",
                        "--kills",
                        "1",
                        "--streams",
                        "2",
                        "--tokens",
                        "60",
                        "--report",
                        report.toString());
        assertEquals(0, exitCode);
        JsonNode json = JsonMapper.shared().readTree(Files.readString(report));
        assertEquals(
                "0, 0, 0",
                json.path("settings")
                        .path("tokens lost, doubled, different (a spare takes over)")
                        .asString(),
                json::toString);
        assertEquals(1, json.path("rows").get(0).path("kills").asInt(), json::toString);
        assertTrue(json.path("rows").get(0).path("ms").asDouble() > 0, json::toString);
    }

    @ParameterizedTest
    @CsvSource({"--parts,nothing,--parts has 'nothing'", "--tokens,3,--tokens is 3", "--parts,rpc,rpc needs --peer DIR"
    })
    void mistakesAreNamed(String option, String value, String message) {
        var command = new ServingCommand();
        new CommandLine(command).parseArgs(option, value);
        var failure = assertThrows(IllegalArgumentException.class, command::call);
        assertTrue(failure.getMessage().contains(message), failure.getMessage());
    }

    @Test
    void aFolderWithoutTheirProgramsIsNamed() {
        var command = new ServingCommand();
        new CommandLine(command)
                .parseArgs("--model", folder.toString() + "/none.gguf", "--parts", "rpc", "--peer", folder.toString());
        assertTrue(assertThrows(IOException.class, command::call).getMessage().contains("is no file"));
    }
}
