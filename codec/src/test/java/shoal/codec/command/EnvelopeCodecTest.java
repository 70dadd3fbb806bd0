package shoal.codec.command;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Epoch;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.NodeId;
import shoal.codec.wire.ActivationType;
import shoal.codec.wire.Sampling;
import tools.jackson.databind.json.JsonMapper;

class EnvelopeCodecTest {
    private static final Hash256 HASH = Hash256.sha256("a shard".getBytes());
    private static final Contact CONTACT =
            new Contact(new NodeId(HASH), List.of(new Endpoint("127.0.0.1", 51820), new Endpoint("::1", 7)));

    /** The examples of the documents that Shoal grew from, as they stand there. */
    @Test
    void readsTheRequestsOfTheSeeds() {
        var load = EnvelopeCodec.readRequest("""
                {
                  "command": "LOAD_SHARD",
                  "request_id": "req-123",
                  "from": "coordinator-peer-id",
                  "to": "target-node-peer-id",
                  "params": {
                    "shard_id": 5
                  }
                }""");
        assertEquals(
                new Envelope.Request(
                        "req-123",
                        "coordinator-peer-id",
                        "target-node-peer-id",
                        new Command.LoadShard(5, null, null, null)),
                load);
        var list = EnvelopeCodec.readRequest("""
                {
                  "command": "LIST_FILES",
                  "request_id": "req-124",
                  "from": "client-peer-id",
                  "to": "node-peer-id"
                }""");
        assertEquals(new Command.ListFiles(), list.command());
        assertEquals(
                new Command.GetCapabilities(), EnvelopeCodec.readRequest("""
                        {
                          "command": "GET_CAPABILITIES",
                          "request_id": "check-capabilities-1",
                          "from": "coordinator-peer-id",
                          "to": "node-peer-id"
                        }""").command());
    }

    @Test
    void writesTheRepliesOfTheSeeds() {
        same(
                """
                {
                  "command": "LOAD_SHARD",
                  "request_id": "req-123",
                  "status": "error",
                  "error": "Shard 5 not found. Torrent download required."
                }""",
                new Envelope.Failure(
                        "LOAD_SHARD",
                        "req-123",
                        String.valueOf(CommandException.torrentRequired(5).getMessage())));
        same(
                """
                {
                  "command": "LOAD_SHARD",
                  "request_id": "req-123",
                  "status": "success",
                  "result": {
                    "shard_id": 5,
                    "status": "loaded",
                    "path": "models_cache/shards/shard-5.gguf",
                    "layers": [20, 23]
                  }
                }""",
                new Envelope.Success(
                        "LOAD_SHARD",
                        "req-123",
                        new Result.ShardReady(5, "models_cache/shards/shard-5.gguf", new LayerRange(20, 23))));
        same(
                """
                {
                  "command": "LIST_FILES",
                  "request_id": "req-124",
                  "status": "success",
                  "result": {"files": [{"info_hash": "%s", "filename": "shard-0.gguf", "size": 493000000}]}
                }""".formatted(HASH.toHex()),
                new Envelope.Success(
                        "LIST_FILES",
                        "req-124",
                        new Result.Files(List.of(new Result.FileInfo(HASH, "shard-0.gguf", 493_000_000)))));
    }

    static List<Command> commands() {
        return List.of(
                new Command.LoadShard(3, "stories", new LayerRange(4, 7), HASH),
                new Command.LoadShard(0, null, null, null),
                new Command.UnloadShard(2),
                new Command.UnloadShard(2, new LayerRange(1, 3), HASH),
                new Command.ListFiles(),
                new Command.GetCapabilities(),
                new Command.Status(),
                new Command.PingPeers(List.of(CONTACT, CONTACT)),
                new Command.Trace(60),
                new Command.ExecuteTask(
                        -5,
                        new Epoch(3),
                        1,
                        1,
                        new LayerRange(2, 3),
                        HASH,
                        CONTACT,
                        CONTACT,
                        ActivationType.F16,
                        512,
                        false,
                        new Command.Term(HASH, 1)),
                new Command.ExecuteTask(
                        7,
                        Epoch.FIRST,
                        3,
                        3,
                        new LayerRange(6, 7),
                        HASH,
                        null,
                        CONTACT,
                        ActivationType.F32,
                        512,
                        true,
                        new Command.Term(HASH, Integer.MAX_VALUE)),
                new Command.Generate("Once \"upon\" a time 🐟\n", 48, Sampling.GREEDY),
                new Command.Generate(
                        "Once",
                        48,
                        new Sampling(
                                0.8f,
                                40,
                                0.95f,
                                0.05f,
                                0.9f,
                                new Sampling.Penalties(-1, 1.1f, 0.25f, -0.5f),
                                new Sampling.Dry(0.8f, 1.75f, 3, 512, List.of("\n", "。")),
                                new Sampling.Xtc(0.5f, 0.1f),
                                new Sampling.Mirostat(5, 0.1f),
                                List.of(
                                        new Sampling.Bias(7, -1.5f),
                                        new Sampling.Bias(70_000, Float.NEGATIVE_INFINITY)),
                                "root ::= \"a\"+",
                                5,
                                -1)),
                new Command.ShardLoaded(3, new LayerRange(6, 7)),
                new Command.ShardProgress(3, 10, 20, null, null),
                new Command.ShardProgress(3, 10, 20, 5, 2),
                new Command.StandBy(3, new LayerRange(4, 7), HASH, List.of(CONTACT, CONTACT)),
                new Command.StandBy(0, new LayerRange(0, 0), HASH, List.of()),
                new Command.NodeReady());
    }

    @ParameterizedTest
    @MethodSource("commands")
    void requestsComeBackAsTheyWere(Command command) {
        var request = new Envelope.Request("r-1", "a", "b", command);
        assertEquals(request, EnvelopeCodec.readRequest(EnvelopeCodec.write(request)));
    }

    static List<Envelope> replies() {
        return List.of(
                new Envelope.Failure("STATUS", "r", "no"),
                new Envelope.Success("LOAD_SHARD", "r", new Result.ShardReady(1, "p", new LayerRange(0, 3))),
                new Envelope.Success("UNLOAD_SHARD", "r", new Result.ShardDropped(1)),
                new Envelope.Success(
                        "GET_CAPABILITIES",
                        "r",
                        new Result.Capabilities(
                                null,
                                2,
                                new NodeId(HASH),
                                "node",
                                "shoal 0.1.0",
                                List.of(new Result.LoadedShard(2, new LayerRange(4, 5), HASH, 1L << 33)),
                                List.of(HASH),
                                2,
                                1L << 34,
                                "vector",
                                4711,
                                CONTACT,
                                List.of(new Result.ComputeDevice("opencl:0", "Big", "Driver 1", 1L << 36, 1L << 42)),
                                List.of(new Result.Speed("Q8_0", 12_345_678_901L, 15_000_000_000L)))),
                new Envelope.Success(
                        "PING_PEERS", "r", new Result.RoundTrips(List.of(new Result.RoundTrip(new NodeId(HASH), 250)))),
                new Envelope.Success(
                        "TRACE",
                        "r",
                        new Result.Receipts(
                                List.of(new Result.Receipt(-7, 1, new LayerRange(2, 3), 9, HASH, 4, HASH)))),
                new Envelope.Success("STATUS", "r", new Result.State(new NodeId(HASH), "node", "ready", 1, 99)),
                new Envelope.Success(
                        "EXECUTE_TASK",
                        "r",
                        new Result.TaskAccepted(-1, 2, true, 4096, false, "shoal-1", 0, Result.HeldCopies.NONE)),
                new Envelope.Success(
                        "EXECUTE_TASK",
                        "r",
                        new Result.TaskAccepted(
                                -1,
                                2,
                                true,
                                4096,
                                true,
                                "shoal-1",
                                0,
                                new Result.HeldCopies(Map.of(5L, 16, -5L, 4096), 1_700))),
                new Envelope.Success("EXECUTE_TASK", "r", Result.TaskAccepted.outranked(-1, 2, 7)),
                new Envelope.Success("STAND_BY", "r", new Result.StandsBy(3)),
                new Envelope.Success("GENERATE", "r", new Result.Generated(List.of(1), List.of(2, 3), " text", "eos")));
    }

    @ParameterizedTest
    @MethodSource("replies")
    void repliesComeBackAsTheyWere(Envelope reply) {
        assertEquals(reply, EnvelopeCodec.readReply(EnvelopeCodec.write(reply)));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "{\"command\":\"FLY\",\"request_id\":\"r\"} | Unknown command FLY. Known are LOAD_SHARD,",
                "{\"command\":\"LOAD_SHARD\",\"request_id\":\"r\",\"params\":{}} | params.shard_id is missing; it must be a whole number",
                "{\"command\":\"LOAD_SHARD\",\"request_id\":\"r\",\"params\":{\"shard_id\":\"5\"}} | params.shard_id is \"5\", it must be a whole number",
                "{\"command\":\"LOAD_SHARD\",\"request_id\":\"r\",\"params\":{\"shard_id\":-1}} | shard_id is -1, allowed 0..65535",
                "{\"command\":\"LOAD_SHARD\",\"request_id\":\"r\",\"params\":7} | params is 7, it must be an object",
                "{\"command\":7,\"request_id\":\"r\"} | command is 7, it must be a text",
            })
    void aWrongRequestGetsAReplyThatNamesTheField(String json, String error) {
        var refused = assertThrows(EnvelopeCodec.BadRequestException.class, () -> EnvelopeCodec.readRequest(json));
        assertEquals("r", refused.reply().requestId());
        assertTrue(refused.reply().error().contains(error), refused.reply().error());
    }

    @Test
    void hostileTextIsBounded() {
        String deep = "{\"command\":\"STATUS\",\"params\":" + "[".repeat(5000) + "]".repeat(5000) + "}";
        assertThrows(EnvelopeCodec.BadRequestException.class, () -> EnvelopeCodec.readRequest(deep));
        String large = "{\"command\":\"STATUS\",\"from\":\"" + "x".repeat(70_000) + "\"}";
        assertThrows(EnvelopeCodec.BadRequestException.class, () -> EnvelopeCodec.readRequest(large));
        assertThrows(EnvelopeCodec.BadRequestException.class, () -> EnvelopeCodec.readRequest("{} {}"));
        assertInstanceOf(
                Command.Status.class,
                EnvelopeCodec.readRequest("{\"command\":\"STATUS\",\"news\":[1,{}]}")
                        .command());
    }

    private static void same(String expected, Envelope envelope) {
        var json = JsonMapper.shared();
        assertEquals(json.readTree(expected), json.readTree(EnvelopeCodec.write(envelope)));
    }
}
