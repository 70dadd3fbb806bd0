package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import java.util.ArrayList;
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

/** Ten nodes, of which one after another is killed: answers go on, and every shard has its copies again. */
@Tag("slow") // twelve processes
final class SelfHealingIT {
    private static final int NODES = 10;
    private static final int SHARDS = 4;
    private static final int DROPS = 6;
    private static final int COPIES = 2;
    private static final int STREAMS = 2;
    private static final int TOKENS = 100;

    @TempDir
    private Path directory;

    private Program program;
    private final Map<String, Program.Running> nodes = new HashMap<>();

    @BeforeEach
    void open() {
        program = new Program(directory);
    }

    @AfterEach
    void close() {
        program.close();
    }

    @Test
    void everyShardKeepsItsCopiesThoughNodesAreKilled() throws Exception {
        long seed = new Random().nextLong();
        var random = new Random(seed);
        Path seeds = directory.resolve("seeds");
        var split = program.run(
                "split",
                "split",
                Program.MODEL.toString(),
                "--shards",
                String.valueOf(SHARDS),
                "--out",
                seeds.toString());
        assertEquals(0, split.awaitExit(), split::said);
        var rendezvous = program.role("rendezvous", "rendezvous", "--port", "0", "--seed-dir", seeds.toString());
        String bootstrap = rendezvous.awaitReady().toString();
        var coordinator = program.role(
                "coordinator",
                "coordinator",
                "--port",
                "0",
                "--bootstrap",
                bootstrap,
                "--set",
                "coordinator.nodes=" + NODES);
        for (int i = 0; i < NODES; i++) {
            start("node" + i, bootstrap);
        }
        coordinator.awaitEvent("swarm_ready");
        String base = coordinator.awaitEvent("ready").path("api").asString();
        try (var streams = new Streams(base, TOKENS)) {
            List<String> undisturbed = streams.begin(STREAMS).texts();
            streams.awaitSwarm(SelfHealingIT::hasAllCopies);
            for (int drop = 0; drop < DROPS; drop++) {
                Streams.UnderWay answers = streams.begin(STREAMS);
                answers.awaitAll();
                var ids = new ArrayList<>(nodes.keySet());
                ids.sort(null);
                nodes.remove(ids.get(random.nextInt(ids.size()))).kill();
                assertEquals(undisturbed, answers.texts(), () -> "seed " + seed + "\n" + coordinator.said());
                streams.awaitSwarm(SelfHealingIT::hasAllCopies);
                start("later" + drop, bootstrap);
            }
        }
    }

    private void start(String name, String bootstrap) {
        var node = program.role(name, "node", "--port", "0", "--bootstrap", bootstrap, "--enable-torrent");
        nodes.put(node.awaitEvent("ready").path("id").asString(), node);
    }

    /** Every shard is loaded on two nodes at least, and the dead are not among them. */
    private static boolean hasAllCopies(JsonNode swarm) {
        Map<String, Integer> copies = new HashMap<>();
        for (JsonNode node : swarm.path("nodes")) {
            if (List.of("serving", "standby").contains(node.path("state").asString())) {
                node.path("layers").forEach(range -> copies.merge(range.toString(), 1, Integer::sum));
            }
        }
        return swarm.path("ready").asBoolean()
                && copies.size() == SHARDS
                && copies.values().stream().allMatch(count -> count >= COPIES);
    }
}
