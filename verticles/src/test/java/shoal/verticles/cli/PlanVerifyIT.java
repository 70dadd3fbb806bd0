package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;
import picocli.CommandLine.Model.CommandSpec;
import shoal.codec.base.Endpoint;
import shoal.verticles.client.SwarmProbe;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** A swarm that is asked for its plan and for proofs, and what is seen when a part of it is damaged, gone, or invented. */
final class PlanVerifyIT {
    private static final String[] PROOF = {"--tokens", "6", "--json"};

    @TempDir
    private Path directory;

    private Program program;
    private String base;

    @BeforeEach
    void open() {
        program = new Program(directory);
    }

    @AfterEach
    void close() {
        program.close();
    }

    @Test
    void aSwarmShowsItsPlanAndProvesItself() throws Exception {
        Path seeds = directory.resolve("seeds");
        var split = program.run("split", "split", Program.MODEL.toString(), "--shards", "2", "--out", seeds.toString());
        assertEquals(0, split.awaitExit(), split::said);
        var rendezvous = program.role("rendezvous", "rendezvous", "--port", "0", "--seed-dir", seeds.toString());
        String bootstrap = rendezvous.awaitReady().toString();
        var nobody = program.run("plan", "plan", "--bootstrap", bootstrap);
        assertEquals(1, nobody.awaitExit(), nobody::said);
        assertTrue(nobody.said().contains("has no coordinator. Start one with: shoal coordinator"), nobody::said);
        var coordinator = program.role(
                "coordinator", "coordinator", "--port", "0", "--bootstrap", bootstrap, "--set", "coordinator.nodes=2");
        base = coordinator.awaitEvent("ready").path("api").asString();
        for (String name : List.of("one", "two")) {
            program.role(name, "node", "--port", "0", "--bootstrap", bootstrap, "--enable-torrent");
        }
        var early = program.run("verify", "verify", "--at", base);
        assertEquals(1, early.awaitExit(), early::said);
        assertTrue(early.said().contains("the swarm is not ready"), early::said);
        coordinator.awaitEvent("swarm_ready");

        JsonNode plan = measuredPlan();
        assertEquals(2, plan.path("stages").size(), plan::toString);
        assertTrue(plan.path("exact").asBoolean() && plan.path("measured").asBoolean(), plan::toString);
        assertTrue(
                plan.path("ms_per_token").asDouble() > plan.path("slowest_ms").asDouble(), plan::toString);
        JsonNode one = json(program.run("plan", "plan", "--at", base, "--sequences", "1", "--json"));
        assertTrue(
                one.path("ms_per_token").asDouble() <= plan.path("ms_per_token").asDouble(), one::toString);
        var told = program.run("plan", "plan", "--bootstrap", bootstrap);
        assertTrue(told.out().contains("minimised: the slowest node"), told::said);
        JsonNode outside = json(program.run("plan", "plan", "--bootstrap", bootstrap, "--sequences", "1", "--json"));
        assertEquals(one.path("model"), outside.path("model"), outside::toString);
        assertEquals(1, outside.path("sequences").asInt(), outside::toString);
        for (JsonNode node : outside.path("nodes")) {
            assertTrue(node.has("with") && node.has("without") && node.has("why"), node::toString);
        }

        JsonNode verified = json(program.run("verify", arguments()));
        assertTrue(verified.path("ok").asBoolean(), verified::toString);
        for (String check : List.of("files", "DHT", "loaded", "generation", "stages")) {
            assertTrue(rows(verified, check) > 0, check + " in " + verified);
        }
        assertEquals(6, verified.path("tokens").size());

        damage(seeds.resolve("shard-0.gguf"));
        JsonNode damaged = json(program.run("verify", arguments()));
        assertTrue(damaged.path("ok").asBoolean(), () -> "the nodes have it still: " + damaged);
        String before = found(verified, "shard-0.gguf");
        String now = found(damaged, "shard-0.gguf");
        assertTrue(before.startsWith("2 whole copies") && !now.contains("2 whole"), before + " → " + now);

        inventions(proof(), bootstrap);
    }

    /** Nodes are measured while they have nothing else to do. */
    private JsonNode measuredPlan() {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (true) {
            JsonNode plan = json(program.run("plan", "plan", "--at", base, "--json"));
            if (plan.path("measured").asBoolean() || System.nanoTime() > end) {
                return plan;
            }
        }
    }

    private String[] arguments() {
        return new String[] {"verify", "--at", base, PROOF[0], PROOF[1], PROOF[2]};
    }

    /** A coordinator that tells what is not so. */
    private static void inventions(JsonNode proof, String bootstrap) {
        var first = List.of(Endpoint.parse(bootstrap));
        try (var probe = new SwarmProbe(null, "a test")) {
            assertEquals(List.of(), wrong(probe, first, proof));
            ObjectNode noFile = (ObjectNode) proof.deepCopy();
            ((ObjectNode) noFile.path("files").get(1)).put("pieces_root", "ab".repeat(32));
            assertEquals(List.of("files", "DHT"), wrong(probe, first, noFile));
            ObjectNode otherNode = (ObjectNode) proof.deepCopy();
            ((ArrayNode) otherNode.path("files").get(0).path("nodes"))
                    .removeAll()
                    .add("cd".repeat(32));
            assertEquals(List.of("DHT"), wrong(probe, first, otherNode));
        }
    }

    private static List<String> wrong(SwarmProbe probe, List<Endpoint> first, JsonNode proof) {
        var checks = new SwarmChecks(proof, new Random(5));
        checks.filesAndRecords(probe, first);
        return checks.rows().stream()
                .filter(row -> !row.ok())
                .map(SwarmChecks.Row::check)
                .toList();
    }

    private JsonNode proof() throws IOException, InterruptedException {
        var door = new CoordinatorDoor();
        var spec = CommandSpec.create().addMixin("door", CommandSpec.forAnnotatedObject(door));
        new CommandLine(spec).parseArgs("--at", base);
        return door.post(
                "proof",
                Program.JSON.createObjectNode().put("prompt", "Once upon").put("tokens", 3));
    }

    private static void damage(Path file) throws IOException {
        try (var bytes = new RandomAccessFile(file.toFile(), "rw")) {
            byte[] noise = new byte[(int) bytes.length()];
            new Random(3).nextBytes(noise);
            bytes.write(noise);
        }
    }

    private static int rows(JsonNode verified, String check) {
        int count = 0;
        for (JsonNode row : verified.path("rows")) {
            count += row.path("check").asString().equals(check) ? 1 : 0;
        }
        return count;
    }

    private static String found(JsonNode verified, String file) {
        for (JsonNode row : verified.path("rows")) {
            if (row.path("check").asString().equals("files")
                    && row.path("what").asString().equals(file)) {
                return row.path("found").asString();
            }
        }
        return "no row";
    }

    private static JsonNode json(Program.Running command) {
        JsonNode json = command.json();
        assertNotEquals(0, json.size(), command::said);
        assertFalse(command.said().contains("shoal: "), command::said);
        return json;
    }
}
