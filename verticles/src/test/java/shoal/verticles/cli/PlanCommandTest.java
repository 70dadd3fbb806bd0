package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Plans for machines that nobody has bought yet. */
class PlanCommandTest {
    private static final String MODEL = Path.of(
                    System.getProperty("shoal.repository"), "verticles/src/main/resources/models/stories-q8_0.gguf")
            .toString();

    @TempDir
    Path directory;

    private final PrintStream outBefore = System.out;
    private final PrintStream errBefore = System.err;
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();

    @BeforeEach
    void capture() {
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
    }

    @AfterEach
    void restore() {
        System.setOut(outBefore);
        System.setErr(errBefore);
    }

    private static int run(String... arguments) {
        return Main.run(arguments);
    }

    private Path nodes(String json) throws IOException {
        return Files.writeString(directory.resolve("nodes.json"), json.replace('\'', '"'));
    }

    /** Slow enough that milliseconds count; a third machine so slow that it is left out. */
    private static final String THREE = """
            {'round_trip_ms': 1, 'nodes': [
              {'name': 'desk', 'memory': '4G', 'gigabytes_per_second': 0.02},
              {'name': 'attic', 'memory': '4G', 'gigabytes_per_second': 0.01},
              {'name': 'phone', 'memory': '4G', 'gigabytes_per_second': 0.0001}],
             'links': [{'from': 'desk', 'to': 'attic', 'round_trip_ms': 4}]}""";

    @Test
    void cutsWhereTheSpeedsSay() throws IOException {
        assertEquals(0, run("plan", MODEL, "--nodes", nodes(THREE).toString(), "--json"), err::toString);
        JsonNode plan = JsonMapper.shared().readTree(out.toByteArray());
        assertEquals(2, plan.path("stages").size(), plan::toString);
        double fast = 0;
        double slow = 0;
        for (JsonNode stage : plan.path("stages")) {
            int layers = stage.path("layers").get(1).asInt()
                    - stage.path("layers").get(0).asInt()
                    + 1;
            if (stage.path("node").asString().equals("desk")) {
                fast = layers;
            } else {
                slow = layers;
            }
        }
        assertTrue(fast > slow && slow > 0, plan::toString);
        for (JsonNode node : plan.path("nodes")) {
            boolean phone = node.path("node").asString().equals("phone");
            assertEquals(!phone, node.path("computes").asBoolean(), node::toString);
            String worse = phone ? "with" : "without";
            assertTrue(
                    node.path(worse).path("slowest_ms").asDouble()
                            > plan.path("slowest_ms").asDouble(),
                    node::toString);
        }
        assertTrue(plan.path("exact").asBoolean());
        out.reset();
        assertEquals(
                0, run("plan", MODEL, "--nodes", directory.resolve("nodes.json").toString()));
        String text = out.toString(StandardCharsets.UTF_8);
        assertTrue(text.contains("left out: with it the slowest node would take"), text);
    }

    @Test
    void oneSequenceStaysOnOneMachine() throws IOException {
        assertEquals(
                0, run("plan", MODEL, "--nodes", nodes(THREE).toString(), "--sequences", "1", "--json"), err::toString);
        JsonNode plan = JsonMapper.shared().readTree(out.toByteArray());
        assertEquals(1, plan.path("stages").size(), plan::toString);
        assertEquals(
                plan.path("ms_per_token").asDouble(),
                plan.path("slowest_ms").asDouble() + 1,
                1e-6,
                "the way there and back");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "[1 | is no JSON",
                "{} | nodes is missing; it must be a list",
                "{'nodes':[{'name':'a'}]} | memory of a is missing",
                "{'nodes':[{'name':'a','memory':'much'}]} | memory of a",
                "{'nodes':[{'name':'a','memory':1},{'name':'a','memory':1}]} | a text of its own",
                "{'nodes':[{'name':'a','memory':1,'gigabytes_per_second':-1}]} | gigabytes_per_second of a is -1",
                "{'nodes':[{'name':'a','memory':1}],'links':[{'from':'a','to':'b','round_trip_ms':1}]} | a link goes to",
                "{'nodes':[{'name':'a','memory':1}],'links':[{'from':'a','to':'coordinator'}]} | round_trip_ms is missing",
                "{'nodes':[{'name':'a','memory':1}]} | the nodes have too little memory"
            },
            quoteCharacter = '`')
    void badMachinesAreNamed(String json, String message) throws IOException {
        assertEquals(1, run("plan", MODEL, "--nodes", nodes(json).toString()));
        String said = err.toString(StandardCharsets.UTF_8);
        assertTrue(said.contains(message) && said.strip().lines().count() == 1, said);
    }

    @Test
    void whatIsMissingIsNamed() {
        assertEquals(1, run("plan", MODEL));
        assertEquals(1, run("plan", "--at", "http://127.0.0.1:1"));
        assertEquals(1, run("plan", "--at", "http://127.0.0.1:1", "--bootstrap", "127.0.0.1:1"));
        assertEquals(1, run("plan", "--bootstrap", "somewhere"));
        assertEquals(1, run("plan", "--bootstrap", "127.0.0.1:70000"));
        assertEquals(1, run("plan", "--bootstrap", "127.0.0.1:1", "--sequences", "65537"));
        assertEquals(1, run("verify", "--at", "ftp://x"));
        assertEquals(1, run("verify"));
        String said = err.toString(StandardCharsets.UTF_8);
        assertTrue(said.contains("name a running swarm with --at URL or --bootstrap HOST:PORT, or a model"), said);
        assertTrue(said.contains("nobody answers at http://127.0.0.1:1"), said);
        assertTrue(said.contains("--sequences is 65537, allowed are 0..65536"), said);
        assertTrue(said.contains("somewhere") && said.contains("70000"), said);
        assertEquals(8, said.strip().lines().count(), said);
        assertTrue(said.contains("--at is 'ftp://x'"), said);
        assertTrue(said.contains("--at is missing"), said);
    }
}
