package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import shoal.codec.base.Hash256;
import shoal.codec.dht.DhtKeys;
import shoal.verticles.identity.ClusterSecret;
import tools.jackson.databind.JsonNode;

/** Swarms started role by role, as README shows it, and what a program hears that joins their event bus. */
final class SwarmIT {
    private static final Path CONFIG = Program.REPOSITORY.resolve("config");

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

    /** A seed directory with one unsplit model is enough: the coordinator cuts it, and each node fetches its layers only. */
    @Test
    void aModelThatNobodyHasSplitIsCutByLayers() throws Exception {
        Path seeds = Files.createDirectories(directory.resolve("seeds"));
        Files.copy(Program.MODEL, seeds.resolve("stories.gguf"));
        String bootstrap = "127.0.0.1:" + freePort();
        program.role(
                "rendezvous",
                "rendezvous",
                "--port",
                bootstrap.substring(bootstrap.indexOf(':') + 1),
                "--seed-dir",
                seeds.toString());
        for (String name : List.of("one", "two")) {
            program.role(name, "node", "--port", "0", "--bootstrap", bootstrap, "--set", "torrent.enabled=true");
        }
        var coordinator = program.role(
                "coordinator",
                "coordinator",
                "--port",
                "0",
                "--bootstrap",
                bootstrap,
                "--set",
                "coordinator.nodes=2",
                "--set",
                "coordinator.activations=f32");
        String at = coordinator.awaitReady().toString();
        coordinator.awaitEvent("swarm_ready");
        String[] question = {"--prompt", "Once", "--tokens", "8", "--temperature", "0", "--json"};
        var there = program.run(
                "there",
                Stream.concat(Stream.of("generate", "--at", at), Stream.of(question))
                        .toArray(String[]::new));
        var here = program.run(
                "here",
                Stream.concat(Stream.of("generate", "--model", Program.MODEL.toString()), Stream.of(question))
                        .toArray(String[]::new));
        assertEquals(0, there.awaitExit(), there::said);
        assertEquals(here.json(), there.json());
        for (String name : List.of("one", "two")) {
            JsonNode file = program.run(
                            "ls-" + name,
                            "ls",
                            "--store",
                            directory.resolve(name + "/models_cache").toString(),
                            "--json")
                    .json()
                    .path("files")
                    .get(0);
            assertFalse(file.path("whole").asBoolean(), file.toString());
            assertEquals(1, file.path("used_for").size(), file.toString());
        }
        aThirdNodeTakesSomeOver(
                bootstrap, coordinator.awaitEvent("ready").path("api").asString());
    }

    /** The others drop from memory what they compute no more. */
    private void aThirdNodeTakesSomeOver(String bootstrap, String base) throws Exception {
        try (var streams = new Streams(base, 8)) {
            List<String> before = streams.begin(1).texts();
            program.role("three", "node", "--port", "0", "--bootstrap", bootstrap, "--set", "torrent.enabled=true");
            JsonNode swarm =
                    streams.awaitSwarm(now -> Streams.in(now, "serving").size() == 3 && layers(now) == 8);
            assertTrue(swarm.path("ready").asBoolean(), swarm.toString());
            assertEquals(before, streams.begin(1).texts());
        }
    }

    /** Layers that nodes have loaded, all together. */
    private static int layers(JsonNode swarm) {
        int layers = 0;
        for (JsonNode node : swarm.path("nodes")) {
            for (JsonNode range : node.path("layers")) {
                layers += range.path(1).asInt() - range.path(0).asInt() + 1;
            }
        }
        return layers;
    }

    @Test
    void profilesStartASwarmThatAnswersEnvelopesAndGenerates() throws IOException {
        Path seeds = split(2);
        String bootstrap = "127.0.0.1:" + freePort();
        Path damaged = damagedShard(seeds, "node");
        var early = program.role(
                "node",
                "node",
                "--config",
                CONFIG.resolve("node.json").toString(),
                "--set",
                "bootstrap=" + bootstrap,
                "--set",
                "torrent.autoLoad=false");
        early.awaitLog("waiting up to 60 s for [" + bootstrap + "]");
        var rendezvous = program.role(
                "rendezvous",
                "rendezvous",
                "--config",
                CONFIG.resolve("rendezvous.json").toString(),
                "--port",
                bootstrap.substring(bootstrap.indexOf(':') + 1),
                "--seed-dir",
                seeds.toString());
        var coordinator = program.role(
                "coordinator",
                "coordinator",
                "--config",
                CONFIG.resolve("coordinator.json").toString(),
                "--port",
                "0",
                "--bootstrap",
                "/ip4/127.0.0.1/tcp/" + bootstrap.substring(bootstrap.indexOf(':') + 1));
        String at = coordinator.awaitReady().toString();
        coordinator.awaitEvent("swarm_ready");

        var there = program.run(
                "there", "generate", "--at", at, "--prompt", "Once", "--tokens", "8", "--temperature", "0", "--json");
        var here = program.run(
                "here",
                "generate",
                "--model",
                Program.MODEL.toString(),
                "--prompt",
                "Once",
                "--tokens",
                "8",
                "--temperature",
                "0",
                "--json");
        assertEquals(0, there.awaitExit(), there::said);
        assertEquals(here.json(), there.json());
        assertEquals(-1, Files.mismatch(seeds.resolve("shard-0.gguf"), damaged), "the damaged shard was fetched anew");
        var tooLong = program.run("there", "generate", "--at", at, "--prompt", "Once", "--tokens", "5000");
        assertOneLine(tooLong, "context length is 512");

        Path poorShards = Files.createDirectories(directory.resolve("poor/models_cache/shards"));
        Files.copy(seeds.resolve("shard-0.gguf"), poorShards.resolve("shard-0.gguf"));
        var poor = program.role(
                "poor",
                "node",
                "--port",
                "0",
                "--bootstrap",
                bootstrap,
                "--set",
                "torrent.autoLoad=false",
                "--set",
                "compute.memoryBytes=1000");
        poor.awaitReady();
        String node = id(early);
        var taken = program.run("taken", "rendezvous", "--port", bootstrap.substring(bootstrap.indexOf(':') + 1));
        assertOneLine(taken, "cannot be used: Address already in use. Choose another with --port");
        try (var member = BusMember.join(rendezvous.awaitReady(), "shoal", null)) {
            envelopes(member, node, id(poor), id(coordinator), here.json());
            assertEquals(
                    Stream.of(rendezvous, early, poor, coordinator)
                            .map(SwarmIT::id)
                            .sorted()
                            .toList(),
                    member.providers(DhtKeys.cluster("shoal")).stream()
                            .filter(id -> !id.equals(member.id()))
                            .toList());
            JsonNode loaded = member.send(node, request("GET_CAPABILITIES", "{}"))
                    .path("result")
                    .path("capabilities")
                    .path("loaded_shards")
                    .get(0);
            assertEquals(
                    Stream.of(rendezvous, early, poor).map(SwarmIT::id).sorted().toList(),
                    member.providers(DhtKeys.file(
                            Hash256.parse(loaded.path("pieces_root").asString()))),
                    "everyone who has a shard, found by one who knows only the rendezvous");
        }
    }

    private static void envelopes(BusMember member, String node, String poor, String coordinator, JsonNode alone) {
        JsonNode files = member.send(node, request("LIST_FILES", "{}"));
        assertEquals("LIST_FILES", files.path("command").asString());
        assertEquals("r-LIST_FILES", files.path("request_id").asString());
        assertEquals("success", files.path("status").asString(), files::toString);
        assertEquals(
                List.of("shard-0.gguf", "shard-1.gguf"),
                DemoIT.elements(files.path("result").path("files")).stream()
                        .map(file -> file.path("filename").asString())
                        .filter(name -> name.startsWith("shard"))
                        .sorted()
                        .toList());
        JsonNode capabilities =
                member.send(node, request("GET_CAPABILITIES", "{}")).path("result");
        assertTrue(capabilities.path("capabilities").path("shard_loaded").asBoolean(), capabilities::toString);
        assertEquals(2, capabilities.path("capabilities").path("loaded_shards").size());

        JsonNode again = member.send(node, request("LOAD_SHARD", "{\"shard_id\":1}"));
        assertEquals("loaded", again.path("result").path("status").asString(), again::toString);
        assertEquals(
                "Shard 1 not found. Torrent download required.",
                member.send(poor, request("LOAD_SHARD", "{\"shard_id\":1}"))
                        .path("error")
                        .asString());

        String tooLittle = member.send(poor, request("LOAD_SHARD", "{\"shard_id\":0}"))
                .path("error")
                .asString();
        assertTrue(tooLittle.contains("this node has 1,000 left of 1,000. Use more shards"), tooLittle);

        JsonNode generated = member.send(
                coordinator,
                request("GENERATE", "{\"prompt\":\"Once\",\"max_tokens\":8,\"sampling\":{\"temperature\":0}}"));
        assertEquals(alone.path("tokens"), generated.path("result").path("tokens"), generated::toString);
        assertEquals(alone.path("text"), generated.path("result").path("text"));
        assertEquals("length", generated.path("result").path("stopped").asString());

        assertEquals(
                "ready",
                member.send(node, request("STATUS", "{}"))
                        .path("result")
                        .path("state")
                        .asString());
        JsonNode unloaded = member.send(node, request("UNLOAD_SHARD", "{\"shard_id\":1}"));
        assertEquals("unloaded", unloaded.path("result").path("status").asString(), unloaded::toString);
        String zeros = "0".repeat(64);
        JsonNode without = member.send(
                node,
                request(
                        "EXECUTE_TASK",
                        "{\"task_type\":\"ai_inference\",\"pipeline\":\"1\",\"epoch\":0,\"stage\":0,\"shard_id\":1,\"layers\":[2,3],"
                                + "\"info_hash\":\"" + zeros + "\",\"coordinator\":{\"node_id\":\"" + zeros
                                + "\",\"endpoints\":[\"127.0.0.1:9\"]},\"activations\":\"F16\",\"context_length\":512,\"model\":\""
                                + zeros
                                + "\",\"term\":1}"));
        assertEquals("error", without.path("status").asString());
        assertTrue(
                without.path("error").asString().contains("Shard not loaded. Use LOAD_SHARD command first."),
                without::toString);
        JsonNode unknown = member.send(node, request("DANCE", "{}"));
        assertTrue(unknown.path("error").asString().startsWith("Unknown command DANCE."), unknown::toString);
        JsonNode notItsJob = member.send(node, request("GENERATE", "{\"prompt\":\"Once\",\"max_tokens\":2}"));
        assertEquals("error", notItsJob.path("status").asString(), notItsJob::toString);
    }

    @Test
    void aSecretKeepsStrangersOutAndIpv6Works() throws IOException {
        Path seeds = split(1);
        Path secret = Files.writeString(directory.resolve("secret"), "correct horse battery staple\n");
        Path other = Files.writeString(directory.resolve("other"), "another horse, another staple\n");
        String[] common = {"--set", "quic.host=::1", "--port", "0"};
        var rendezvous = program.role(
                "rendezvous",
                "rendezvous",
                with(common, "--seed-dir", seeds.toString(), "--set", "cluster.secretFile=" + secret));
        String bootstrap = rendezvous.awaitReady().toString();
        assertTrue(bootstrap.startsWith("["), bootstrap);
        var coordinator = program.role(
                "coordinator",
                "coordinator",
                with(common, "--bootstrap", bootstrap, "--set", "cluster.secretFile=" + secret));
        program.role(
                "node",
                "node",
                with(common, "--bootstrap", bootstrap, "--enable-torrent", "--set", "cluster.secretFile=" + secret));
        var wrong = program.role(
                "wrong", "node", with(common, "--bootstrap", bootstrap, "--set", "cluster.secretFile=" + other));
        assertOneLine(wrong, "secret");
        var none = program.role("none", "node", with(common, "--bootstrap", bootstrap));
        assertOneLine(none, "secret");
        var elsewhere = program.role(
                "elsewhere",
                "node",
                with(common, "--bootstrap", bootstrap, "--cluster", "barn", "--set", "cluster.secretFile=" + secret));
        assertOneLine(elsewhere, "serves cluster 'shoal', not 'barn'");
        coordinator.awaitEvent("swarm_ready");
        String at = coordinator.awaitReady().toString();
        var told = program.run(
                "told",
                "generate",
                "--at",
                at,
                "--secret-file",
                secret.toString(),
                "--prompt",
                "Once",
                "--tokens",
                "4",
                "--temperature",
                "0");
        assertEquals(0, told.awaitExit(), told::said);
        assertEquals(" upon a time,", told.out());
        assertOneLine(program.run("untold", "generate", "--at", at, "--prompt", "Once"), "secret");
        try (var member = BusMember.join(rendezvous.awaitReady(), "shoal", ClusterSecret.read(secret))) {
            assertEquals(
                    "rendezvous",
                    member.send(id(rendezvous), request("STATUS", "{}"))
                            .path("result")
                            .path("role")
                            .asString());
        }
    }

    @Test
    void aKilledNodeGoesOnWithWhatItHad() throws IOException {
        Path seeds = split(1);
        long size = Files.size(seeds.resolve("shard-0.gguf"));
        var rendezvous = program.role(
                "rendezvous",
                "rendezvous",
                "--port",
                "0",
                "--seed-dir",
                seeds.toString(),
                "--set",
                "upload.bytesPerSecond=1500000");
        String bootstrap = rendezvous.awaitReady().toString();
        try (var member = BusMember.join(rendezvous.awaitReady(), "shoal", null)) {
            String[] options = {"--port", "0", "--bootstrap", bootstrap, "--enable-torrent"};
            var first = program.role("node", "node", options);
            first.awaitReady();
            member.begin(id(first), request("LOAD_SHARD", "{\"shard_id\":0}"));
            first.awaitEvent("progress", event -> event.path("verified").asLong() > size / 3);
            first.kill();
            long verified = first.last("progress").path("verified").asLong();
            assertTrue(verified < size, "killed too late to see it resume");

            var second = program.role("node", "node", options);
            second.awaitReady();
            assertEquals(id(first), id(second), "the same directory is the same node");
            JsonNode loaded = member.send(id(second), request("LOAD_SHARD", "{\"shard_id\":0}"));
            assertEquals("loaded", loaded.path("result").path("status").asString(), loaded::toString);
            JsonNode done = second.awaitEvent(
                    "progress", event -> event.path("verified").asLong() == size);
            long fetched = done.path("bytes").path("rendezvous").asLong();
            assertTrue(
                    fetched < size - verified + (1 << 20),
                    "fetched " + fetched + " of " + size + ", though " + verified + " were there");
            Path file = second.home.resolve("models_cache/shards/shard-0.gguf");
            assertEquals(-1, Files.mismatch(seeds.resolve("shard-0.gguf"), file));
        }
    }

    // ---------------------------------------------------------------------------------------------- parts

    private Path split(int shards) {
        Path seeds = directory.resolve("seeds");
        var split = program.run(
                "split", "split", Program.MODEL.toString(), "--shards", "" + shards, "--out", seeds.toString());
        assertEquals(0, split.awaitExit(), split::said);
        return seeds;
    }

    /** Puts a shard with one wrong byte where a node will look for it first. */
    private Path damagedShard(Path seeds, String node) throws IOException {
        Path shards = Files.createDirectories(directory.resolve(node).resolve("models_cache/shards"));
        byte[] bytes = Files.readAllBytes(seeds.resolve("shard-0.gguf"));
        bytes[bytes.length / 2] ^= 1;
        return Files.write(shards.resolve("shard-0.gguf"), bytes);
    }

    private static String id(Program.Running role) {
        return role.awaitEvent("ready").path("id").asString();
    }

    private static String request(String command, String params) {
        return "{\"command\":\"" + command + "\",\"request_id\":\"r-" + command + "\",\"from\":\"test\",\"params\":"
                + params + "}";
    }

    private static String[] with(String[] common, String... more) {
        return Stream.concat(Stream.of(common), Stream.of(more)).toArray(String[]::new);
    }

    private static void assertOneLine(Program.Running ended, String text) {
        assertFalse(ended.awaitExit() == 0, ended::said);
        List<String> complaints = ended.errors().stream()
                .filter(line -> line.startsWith("shoal: "))
                .toList();
        assertEquals(1, complaints.size(), ended::said);
        assertTrue(complaints.getFirst().contains(text), ended::said);
        assertTrue(ended.errors().stream().noneMatch(line -> line.startsWith("\tat ")), ended::said);
    }

    /** A port that was free a moment ago; only for an address that must be named before anybody listens there. */
    private static int freePort() throws IOException {
        try (var socket = new DatagramSocket(0, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }
}
