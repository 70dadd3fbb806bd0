package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.SocketException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.function.Predicate;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import shoal.codec.base.Endpoint;
import shoal.verticles.path.UdpPath;
import tools.jackson.databind.JsonNode;

/** Machines freeze, rest, leave and come, and ways between them become slow or break, while answers are under way, and no answer notices. */
final class GuestsIT {
    private static final int STREAMS = 4;
    private static final int TOKENS = 100;

    @TempDir
    private Path directory;

    private Program program;
    private final Map<String, Program.Running> nodes = new HashMap<>();
    private final Map<String, UdpPath> paths = new HashMap<>();
    private Program.Running coordinator;
    private String bootstrap;
    private final long seed = new Random().nextLong();
    private final Random random = new Random(seed);

    @BeforeEach
    void start() throws SocketException {
        program = new Program(directory);
        Path seeds = directory.resolve("seeds");
        var split = program.run("split", "split", Program.MODEL.toString(), "--shards", "2", "--out", seeds.toString());
        assertEquals(0, split.awaitExit(), split::said);
        var rendezvous = program.role("rendezvous", "rendezvous", "--port", "0", "--seed-dir", seeds.toString());
        bootstrap = rendezvous.awaitReady().toString();
        coordinator = program.role(
                "coordinator", "coordinator", "--port", "0", "--bootstrap", bootstrap, "--set", "coordinator.nodes=3");
        for (int i = 0; i < 3; i++) {
            startBehindPath(i);
        }
        program.running().stream().filter(each -> each.name.startsWith("node")).forEach(this::know);
        coordinator.awaitEvent("swarm_ready");
    }

    /** Others reach it by a way that can be cut. */
    private void startBehindPath(int number) throws SocketException {
        int port;
        try (var free = new DatagramSocket(0, InetAddress.getLoopbackAddress())) {
            port = free.getLocalPort();
        }
        var path = new UdpPath(new Endpoint("127.0.0.1", port), UdpPath.Conditions.of(0, 0), number);
        String name = "node" + number;
        paths.put(name, path);
        program.role(
                name,
                "node",
                "--port",
                String.valueOf(port),
                "--set",
                "quic.advertise=" + path.entrance(),
                "--bootstrap",
                bootstrap,
                "--enable-torrent");
    }

    @AfterEach
    void close() {
        program.close();
        paths.values().forEach(UdpPath::close);
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
            slowDown(streams, undisturbed);
            part(streams, undisturbed);
            standsBy(streams, 1);
            freeze(streams, undisturbed);
            standsBy(streams, 1);
            rest(streams, undisturbed);
            standsBy(streams, 1);
            leave(streams, undisturbed);
            join(streams);
            streams.beginAndLeave();
            streams.awaitSwarm(swarm -> swarm.path("generations").asInt() == 0);
            loseTheRendezvous(streams, undisturbed);
        }
    }

    /** Ways to all nodes become long and lose datagrams, and short again. */
    private void slowDown(Streams streams, List<String> undisturbed) throws Exception {
        Streams.UnderWay answers = streams.begin(STREAMS);
        answers.awaitAll();
        paths.values().forEach(path -> path.become(UdpPath.Conditions.of(0.01, 20)));
        assertEquals(undisturbed, answers.texts(), () -> "slow ways, seed " + seed + "\n" + coordinator.said());
        assertEquals(undisturbed, streams.begin(STREAMS).texts(), () -> "still slow, seed " + seed);
        paths.values().forEach(path -> path.become(UdpPath.Conditions.of(0, 0)));
    }

    /** Two stages do not reach each other any more, though the coordinator reaches both. */
    private void part(Streams streams, List<String> undisturbed) throws Exception {
        assumeTrue(Files.isReadable(UdpSockets.TABLE), "whose a UDP socket is, is told by Linux alone");
        Streams.UnderWay answers = streams.begin(STREAMS);
        answers.awaitAll();
        List<String> serving = Streams.in(streams.swarm(), "serving");
        assertEquals(2, serving.size(), "seed " + seed);
        Program.Running one = nodes.get(serving.getFirst());
        Program.Running other = nodes.get(serving.getLast());
        UdpPath toOne = Objects.requireNonNull(paths.get(one.name));
        UdpPath toOther = Objects.requireNonNull(paths.get(other.name));
        toOne.cut(new UdpSockets(other.process.pid())::has);
        toOther.cut(new UdpSockets(one.process.pid())::has);
        assertEquals(undisturbed, answers.texts(), () -> "parted, seed " + seed + "\n" + coordinator.said());
        List<String> now = Streams.in(streams.swarm(), "serving");
        assertNotEquals(Set.copyOf(serving), Set.copyOf(now), "they cannot compute together, seed " + seed);
        assertTrue(toOne.lostDatagrams() + toOther.lostDatagrams() > 0, "nothing was cut");
        toOne.cut(false);
        toOther.cut(false);
    }

    /** Who has told everybody of everybody is needed no more. */
    private void loseTheRendezvous(Streams streams, List<String> undisturbed) throws Exception {
        Streams.UnderWay answers = streams.begin(STREAMS);
        answers.awaitAll();
        program.running().stream()
                .filter(each -> each.name.equals("rendezvous"))
                .forEach(Program.Running::kill);
        assertEquals(undisturbed, answers.texts(), () -> "no rendezvous, seed " + seed + "\n" + coordinator.said());
        assertEquals(undisturbed, streams.begin(STREAMS).texts(), "without a rendezvous, seed " + seed);
        assertTrue(streams.swarm().path("ready").asBoolean(), "seed " + seed);
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
        awaitSwarm(streams, swarm -> takesWork(swarm, frozen));
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
        awaitSwarm(streams, swarm -> takesWork(swarm, resting));
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
        awaitSwarm(streams, swarm -> takesWork(swarm, id));
    }

    /** It stands by, or computes where that spreads the layers over more nodes. */
    private static boolean takesWork(JsonNode swarm, String node) {
        return List.of("standby", "serving").contains(Streams.state(swarm, node));
    }

    private void standsBy(Streams streams, int count) throws IOException, InterruptedException {
        awaitSwarm(
                streams,
                swarm -> swarm.path("ready").asBoolean()
                        && Streams.in(swarm, "standby").size() == count
                        && Streams.in(swarm, "serving").size() == 2);
    }

    private void awaitSwarm(Streams streams, Predicate<JsonNode> wanted) throws IOException, InterruptedException {
        try {
            streams.awaitSwarm(wanted);
        } catch (AssertionError never) {
            throw new AssertionError("seed " + seed + "\n" + coordinator.said(), never);
        }
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
