package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import shoal.codec.base.Endpoint;
import tools.jackson.databind.JsonNode;

/** Two models on the same two nodes, each with a coordinator and a placement of its own. */
final class SeveralModelsIT {
    @TempDir
    private Path directory;

    private Program program;

    @BeforeEach
    void open() {
        program = new Program(directory);
    }

    @AfterEach
    void close() {
        program.close();
    }

    @Test
    void bothAnswerAsTheyWouldAlone() throws Exception {
        Path seeds = Files.createDirectories(directory.resolve("seeds"));
        Path stories = Files.copy(Program.MODEL, seeds.resolve("stories.gguf"));
        Path random = seeds.resolve("random.gguf");
        var made =
                program.run("made", "make-model", "--like", "llama-tiny", "--type", "Q8_0", "--out", random.toString());
        assertEquals(0, made.awaitExit(), made::said);
        var rendezvous = program.role("rendezvous", "rendezvous", "--port", "0", "--seed-dir", seeds.toString());
        String bootstrap = rendezvous.awaitReady().toString();
        var coordinators = new ArrayList<Program.Running>();
        for (String model : List.of("stories", "random")) {
            coordinators.add(program.role(
                    "coordinator-" + model,
                    "coordinator",
                    "--port",
                    "0",
                    "--bootstrap",
                    bootstrap,
                    "--set",
                    "coordinator.nodes=2",
                    "--set",
                    "coordinator.model=" + model,
                    "--set",
                    "coordinator.activations=f32"));
        }
        for (String name : List.of("one", "two")) {
            program.role(name, "node", "--port", "0", "--bootstrap", bootstrap, "--enable-torrent");
        }
        var at = new ArrayList<Endpoint>();
        for (Program.Running coordinator : coordinators) {
            coordinator.awaitEvent("swarm_ready");
            at.add(coordinator.awaitReady());
        }
        var asked = new ArrayList<Program.Running>();
        for (Endpoint coordinator : at) { // at the same time
            asked.add(program.start("ask-" + coordinator.port(), question("--at", coordinator.toString())));
        }
        var texts = new ArrayList<JsonNode>();
        for (int i = 0; i < asked.size(); i++) {
            asked.get(i).closeInput();
            assertEquals(0, asked.get(i).awaitExit(), asked.get(i)::said);
            Path model = i == 0 ? stories : random;
            var alone = program.run("alone", question("--model", model.toString()));
            assertEquals(alone.json(), asked.get(i).json());
            texts.add(alone.json());
        }
        assertNotEquals(texts.getFirst(), texts.getLast());
    }

    private static String[] question(String option, String where) {
        return new String[] {
            "generate", option, where, "--prompt", "once upon a time", "--tokens", "24", "--temperature", "0", "--json"
        };
    }
}
