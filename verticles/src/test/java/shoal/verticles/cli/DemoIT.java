package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/** The demo keeps its promises: separate processes, one process's answer, and nothing left behind. */
final class DemoIT {
    /** What llama.cpp v0.5.0 gives greedily after "Once" with the bundled model, on the CPU. */
    private static final List<Integer> LLAMA_CPP_AFTER_ONCE =
            List.of(572, 261, 455, 979, 261, 370, 480, 378, 314, 715, 404);

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
    void fourNodesGiveWhatOneProcessGivesAndLeaveNothingBehind() {
        JsonNode report = demo("--prompt", "Once", "--tokens", "11");
        assertEquals(
                LLAMA_CPP_AFTER_ONCE,
                elements(report.path("tokens")).stream().map(JsonNode::asInt).toList());
        assertEquals(
                " upon a time, a little girl named Mina lived",
                report.path("text").asString());
        assertEquals("length", report.path("stopped").asString());
        assertEquals(
                List.of("rendezvous", "coordinator", "node", "node", "node", "node"),
                elements(report.path("nodes")).stream()
                        .map(node -> node.path("role").asString())
                        .toList());
        assertEquals(
                List.of("[[0,1]]", "[[2,3]]", "[[4,5]]", "[[6,7]]"),
                elements(report.path("nodes")).stream()
                        .filter(node -> node.path("role").asString().equals("node"))
                        .map(node -> node.path("layers").toString())
                        .sorted()
                        .toList());
        assertTrue(report.path("bytes").path("rendezvous").asLong() > 5_000_000, report::toString);
        assertTrue(report.path("ttft_ms").asDouble() > 0, report::toString);
        assertTrue(report.path("tokens_per_second").asDouble() > 0, report::toString);
    }

    @Test
    void twoNodesShareFourShardsAndDrawTheSameTokensWithASeed() {
        JsonNode report =
                demo("--nodes", "2", "--shards", "4", "--tokens", "8", "--temperature", "0.9", "--seed", "42");
        assertEquals(8, report.path("tokens").size());
        assertEquals(
                4,
                elements(report.path("nodes")).stream()
                        .mapToInt(node -> node.path("layers").size())
                        .sum());
    }

    @Test
    void replicasFetchFromNodes() {
        JsonNode report = demo("--nodes", "5", "--shards", "2", "--tokens", "8");
        assertTrue(report.path("bytes").path("peers").asLong() > 0, report::toString);
    }

    @Test
    void childrenEndWhenTheLauncherIsKilled() {
        var demo = program.start("demo", "demo", "--nodes", "2", "--shards", "2", "--tokens", "300");
        demo.awaitLine(" 6/19 ");
        List<ProcessHandle> children = demo.descendants();
        assertEquals(4, children.size(), demo::said);
        demo.kill();
        try {
            children.forEach(Program::awaitEnd);
        } finally {
            children.forEach(ProcessHandle::destroyForcibly);
        }
    }

    @Test
    void aKeptSwarmAnswersUntilItIsStopped() throws IOException {
        program.environment(
                "JAVA_TOOL_OPTIONS", "-Djava.io.tmpdir=" + Files.createDirectories(directory.resolve("tmp")));
        var demo = program.start("demo", "demo", "--keep", "--nodes", "1", "--shards", "1", "--tokens", "2");
        List<ProcessHandle> children = List.of();
        try {
            demo.awaitLine(" 6/19 ");
            children = demo.descendants();
            String hint = demo.awaitLine("shoal generate --at ");
            assertEquals(0, demo.awaitExit(), demo::said);
            assertEquals(3, children.size(), demo::said);
            String at = hint.substring(hint.indexOf("--at ") + "--at ".length(), hint.indexOf(" --prompt"));
            var told = program.run("told", "generate", "--at", at, "--prompt", "Once", "--tokens", "3");
            assertEquals(0, told.awaitExit(), told::said);
            assertEquals(" upon a time", told.out());
            var stop = program.run("stop", "demo", "--stop");
            assertEquals(0, stop.awaitExit(), stop::said);
            assertEquals("Ended 1 swarm(s).", stop.out());
            children.forEach(Program::awaitEnd);
        } finally {
            children.forEach(ProcessHandle::destroyForcibly);
        }
    }

    /** Runs a demo whose answer must be identical; checks that its processes were several and are gone. */
    private JsonNode demo(String... options) {
        var arguments = new ArrayList<String>(List.of("demo", "--json"));
        arguments.addAll(List.of(options));
        var demo = program.startPlainly("demo", arguments.toArray(String[]::new));
        assertEquals(0, demo.awaitExit(), demo::said);
        JsonNode report = demo.json();
        assertTrue(report.path("identical").asBoolean(), report::toString);
        var pids = new HashSet<Long>();
        var ids = new HashSet<String>();
        for (JsonNode node : report.path("nodes")) {
            long pid = node.path("pid").asLong();
            assertTrue(pids.add(pid), () -> "two roles in process " + pid);
            assertTrue(ids.add(node.path("id").asString()), report::toString);
            assertFalse(ProcessHandle.of(pid).map(ProcessHandle::isAlive).orElse(false), () -> pid + " is still alive");
        }
        assertFalse(pids.contains(demo.process.pid()));
        return report;
    }

    static List<JsonNode> elements(JsonNode list) {
        return StreamSupport.stream(list.spliterator(), false).toList();
    }
}
