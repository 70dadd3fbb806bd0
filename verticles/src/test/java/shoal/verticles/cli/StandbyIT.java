package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/** The coordinator dies, or freezes and wakes up again, while answers are under way: the other one goes on with them. */
final class StandbyIT {
    private static final int STREAMS = 8;
    private static final int TOKENS = 120;

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

    private String bootstrap;
    private Program.Running first;
    private Program.Running second;

    /** Two nodes, a coordinator, and one that stands by. */
    private void swarm() {
        Path seeds = directory.resolve("seeds");
        var split = program.run("split", "split", Program.MODEL.toString(), "--shards", "2", "--out", seeds.toString());
        assertEquals(0, split.awaitExit(), split::said);
        var rendezvous = program.role("rendezvous", "rendezvous", "--port", "0", "--seed-dir", seeds.toString());
        bootstrap = rendezvous.awaitReady().toString();
        first = program.role(
                "first", "coordinator", "--port", "0", "--bootstrap", bootstrap, "--set", "coordinator.nodes=2");
        for (int i = 0; i < 2; i++) {
            program.role("node" + i, "node", "--port", "0", "--bootstrap", bootstrap, "--enable-torrent");
        }
        first.awaitEvent("swarm_ready");
        second = program.role("second", "coordinator", "--port", "0", "--bootstrap", bootstrap, "--standby");
        second.awaitLog("stands by for coordinator");
    }

    @Test
    void answersGoOnWhenTheirCoordinatorIsKilled() throws Exception {
        swarm();
        try (var atFirst = new Streams(api(first), TOKENS, true);
                var atSecond = new Streams(api(second), TOKENS, true)) {
            List<String> undisturbed = atFirst.begin(STREAMS).texts();
            assertTrue(
                    atSecond.swarm().path("reason").asString().contains("stands by for coordinator"),
                    atSecond.swarm()::toString);
            assertEquals(undisturbed.getFirst(), atSecond.begin(1).texts().getFirst(), "handed on to the first");

            Streams.UnderWay answers = atFirst.begin(STREAMS);
            answers.awaitAll();
            first.kill();
            assertSame(undisturbed, atSecond.goOn(answers), second, first);
            assertEquals(undisturbed, atSecond.begin(STREAMS).texts(), second::said);

            var third = program.role("third", "coordinator", "--port", "0", "--bootstrap", bootstrap, "--standby");
            third.awaitLog("stands by for coordinator");
            try (var atThird = new Streams(api(third), TOKENS, true)) {
                Streams.UnderWay again = atSecond.begin(STREAMS);
                again.awaitAll();
                second.kill();
                assertSame(undisturbed, atThird.goOn(again), third, second);
            }
        }
    }

    @Test
    void oneThatWasFrozenStandsByFromThenOn() throws Exception {
        swarm();
        try (var atFirst = new Streams(api(first), TOKENS, true);
                var atSecond = new Streams(api(second), TOKENS, true)) {
            List<String> undisturbed = atFirst.begin(STREAMS).texts();
            Streams.UnderWay answers = atFirst.begin(STREAMS);
            answers.awaitAll();
            signal("STOP", first);
            second.awaitEvent("swarm_ready");
            signal("CONT", first);
            assertSame(undisturbed, atSecond.goOn(answers), second, first);
            first.awaitLog("this one stands by");
            first.awaitLog("stands by for coordinator");
            assertEquals(undisturbed, atFirst.begin(STREAMS).texts(), "handed on to the second");
        }
    }

    private static void assertSame(
            List<String> undisturbed, List<Streams.Told> told, Program.Running successor, Program.Running before) {
        assertEquals(
                undisturbed,
                told.stream().map(Streams.Told::text).toList(),
                () -> before.said() + "\n--- successor\n" + successor.said());
        Set<Integer> recoveries = told.stream()
                .map(each -> each.last().path("shoal").path("recoveries").asInt())
                .collect(Collectors.toSet());
        assertNotEquals(Set.of(0), recoveries, "all were over before");
        for (Streams.Told each : told) {
            JsonNode run = each.last().path("shoal");
            assertTrue(run.path("exact").asBoolean(), run::toString);
            assertEquals(2, run.path("stages").size(), run::toString);
            run.path("stages")
                    .forEach(stage ->
                            assertTrue(!stage.path("kernels").asString("").isEmpty(), stage::toString));
        }
    }

    private static String api(Program.Running coordinator) {
        return coordinator.awaitEvent("ready").path("api").asString();
    }

    private static void signal(String name, Program.Running process) throws Exception {
        String pid = String.valueOf(process.process.pid());
        assertEquals(0, new ProcessBuilder("kill", "-" + name, pid).start().waitFor());
    }
}
