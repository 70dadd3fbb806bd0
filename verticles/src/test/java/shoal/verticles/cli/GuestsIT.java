package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/** Machines freeze, rest, leave and come while answers are under way, and no answer notices. */
@Tag("slow") // and measured speeds decide where layers go
final class GuestsIT {
    private static final int STREAMS = 4;
    private static final int TOKENS = 100;

    @TempDir
    private Path directory;

    private Program program;
    private final Map<String, Program.Running> nodes = new HashMap<>();
    private Program.Running coordinator;
    private String bootstrap;
    private final long seed = new Random().nextLong();
    private final Random random = new Random(seed);

    @BeforeEach
    void start() {
        program = new Program(directory);
        Path seeds = directory.resolve("seeds");
        var split = program.run("split", "split", Program.MODEL.toString(), "--shards", "2", "--out", seeds.toString());
        assertEquals(0, split.awaitExit(), split::said);
        var rendezvous = program.role("rendezvous", "rendezvous", "--port", "0", "--seed-dir", seeds.toString());
        bootstrap = rendezvous.awaitReady().toString();
        coordinator = program.role(
                "coordinator", "coordinator", "--port", "0", "--bootstrap", bootstrap, "--set", "coordinator.nodes=3");
        for (int i = 0; i < 3; i++) {
            program.role("node" + i, "node", "--port", "0", "--bootstrap", bootstrap, "--enable-torrent");
        }
        program.running().stream().filter(each -> each.name.startsWith("node")).forEach(this::know);
        coordinator.awaitEvent("swarm_ready");
    }

    @AfterEach
    void close() {
        program.close();
    }

    private void know(Program.Running node) {
        nodes.put(node.awaitEvent("ready").path("id").asString(), node);
    }

    @Test
    void noAnswerNoticesThatMachinesFreezeRestAndLeave() throws Exception {
        String base = coordinator.awaitEvent("ready").path("api").asString();
        try (var streams = new Streams(base, TOKENS)) {
            List<String> undisturbed = streams.begin(STREAMS).texts();
            standsBy(streams, 1);
            freeze(streams, undisturbed);
            standsBy(streams, 1);
            rest(streams, undisturbed);
            standsBy(streams, 1);
            leave(streams, undisturbed);
            join(streams);
            streams.beginAndLeave();
            streams.awaitSwarm(swarm -> swarm.path("generations").asInt() == 0);
        }
    }

    /** A frozen machine is taken for lost; when it thaws, it stands by, and what it still says is not listened to. */
    private void freeze(Streams streams, List<String> undisturbed) throws Exception {
        Streams.UnderWay answers = streams.begin(STREAMS);
        answers.awaitAll();
        String frozen = serving(streams);
        signal("STOP", frozen);
        try {
            coordinator.awaitLog("is lost: it has been silent for");
            assertNotEquals("serving", Streams.state(streams.swarm(), frozen), "seed " + seed);
            assertEquals(undisturbed, answers.texts(), () -> "frozen, seed " + seed + "\n" + coordinator.said());
        } finally {
            signal("CONT", frozen);
        }
        streams.awaitSwarm(swarm -> takesWork(swarm, frozen));
        assertEquals(undisturbed, streams.begin(STREAMS).texts(), "thawed, seed " + seed);
    }

    private void rest(Streams streams, List<String> undisturbed) throws Exception {
        Streams.UnderWay answers = streams.begin(STREAMS);
        answers.awaitAll();
        String resting = serving(streams);
        Path store = nodes.get(resting).home.resolve("models_cache");
        var pause = program.run("pause", "pause", "--store", store.toString(), "--json");
        assertEquals(0, pause.awaitExit(), pause::said);
        assertTrue(pause.json().path("handed_over").asBoolean(), pause::said);
        assertEquals("resting", Streams.state(streams.swarm(), resting), "seed " + seed);
        assertEquals(undisturbed, answers.texts(), () -> "resting, seed " + seed + "\n" + coordinator.said());
        for (Streams.Told told : streams.begin(2).told()) {
            assertFalse(told.last().path("shoal").toString().contains(resting), "it rests, seed " + seed);
        }
        var resume = program.run("resume", "resume", "--store", store.toString());
        assertEquals(0, resume.awaitExit(), resume::said);
        streams.awaitSwarm(swarm -> takesWork(swarm, resting));
    }

    private void leave(Streams streams, List<String> undisturbed) throws Exception {
        Streams.UnderWay answers = streams.begin(STREAMS);
        answers.awaitAll();
        String leaving = serving(streams);
        Program.Running node = nodes.remove(leaving);
        node.process.destroy();
        node.awaitExit();
        assertTrue(node.errors().stream().noneMatch(line -> line.contains("without handing over")), node::said);
        assertEquals(undisturbed, answers.texts(), () -> "left, seed " + seed + "\n" + coordinator.said());
        assertEquals("", Streams.state(streams.swarm(), leaving), "seed " + seed);
    }

    private void join(Streams streams) throws Exception {
        var node = program.role("joins", "node", "--port", "0", "--bootstrap", bootstrap, "--enable-torrent");
        know(node);
        String id = node.awaitEvent("ready").path("id").asString();
        streams.awaitSwarm(swarm -> takesWork(swarm, id));
    }

    /** It stands by, or computes where that spreads the layers over more nodes. */
    private static boolean takesWork(JsonNode swarm, String node) {
        return List.of("standby", "serving").contains(Streams.state(swarm, node));
    }

    private static void standsBy(Streams streams, int count) throws IOException, InterruptedException {
        streams.awaitSwarm(swarm -> swarm.path("ready").asBoolean()
                && Streams.in(swarm, "standby").size() == count
                && Streams.in(swarm, "serving").size() == 2);
    }

    /** One of those that compute now. */
    private String serving(Streams streams) throws IOException, InterruptedException {
        JsonNode swarm = streams.swarm();
        List<String> serving = Streams.in(swarm, "serving");
        assertFalse(serving.isEmpty(), swarm::toString);
        return serving.get(random.nextInt(serving.size()));
    }

    private void signal(String name, String node) throws IOException, InterruptedException {
        long pid = nodes.get(node).process.pid();
        assertEquals(
                0,
                new ProcessBuilder("kill", "-" + name, String.valueOf(pid))
                        .start()
                        .waitFor());
    }
}
