package shoal.codec.command;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Epoch;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.base.NodeId;
import shoal.codec.wire.ActivationType;
import shoal.codec.wire.Sampling;
import tools.jackson.core.JacksonException;
import tools.jackson.core.StreamReadConstraints;
import tools.jackson.core.json.JsonFactory;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * Envelopes to JSON and back. A request is {@code {command, request_id, from, to, params}}, a reply {@code {command, request_id,
 * status: success|error, result | error}}. Keys that nobody knows are passed over; a wrong type names its field.
 */
public final class EnvelopeCodec {
    public static final int MAX_BYTES = 64 * 1024;

    private static final int MAX_DEPTH = 16;
    private static final JsonMapper JSON = JsonMapper.builder(JsonFactory.builder()
                    .streamReadConstraints(StreamReadConstraints.builder()
                            .maxNestingDepth(MAX_DEPTH)
                            .maxStringLength(MAX_BYTES)
                            .maxNumberLength(32)
                            .maxDocumentLength(MAX_BYTES)
                            .build())
                    .build())
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();

    private EnvelopeCodec() {}

    // ------------------------------------------------------------------------------------------------- writing

    /** @throws IllegalArgumentException if the envelope is larger than {@link #MAX_BYTES} */
    public static String write(Envelope envelope) {
        ObjectNode json = JSON.createObjectNode();
        switch (envelope) {
            case Envelope.Request request -> {
                json.put("command", request.command().name());
                json.put("request_id", request.requestId());
                json.put("from", request.from());
                if (request.to() != null) {
                    json.put("to", request.to());
                }
                ObjectNode params = params(request.command());
                if (!params.isEmpty()) {
                    json.set("params", params);
                }
            }
            case Envelope.Success success -> {
                json.put("command", success.command());
                json.put("request_id", success.requestId());
                json.put("status", "success");
                json.set("result", result(success.result()));
            }
            case Envelope.Failure failure -> {
                json.put("command", failure.command());
                json.put("request_id", failure.requestId());
                json.put("status", "error");
                json.put("error", failure.error());
            }
        }
        String text = JSON.writeValueAsString(json);
        int size = text.getBytes(StandardCharsets.UTF_8).length;
        if (size > MAX_BYTES) {
            throw new IllegalArgumentException("an envelope has " + size + " bytes, allowed 0.." + MAX_BYTES);
        }
        return text;
    }

    private static ObjectNode params(Command command) {
        ObjectNode params = JSON.createObjectNode();
        switch (command) {
            case Command.LoadShard load -> {
                params.put("shard_id", load.shardId());
                if (load.model() != null) {
                    params.put("model", load.model());
                }
                if (load.layers() != null) {
                    params.set("layers", layers(load.layers()));
                }
                if (load.infoHash() != null) {
                    params.put("info_hash", load.infoHash().toHex());
                }
            }
            case Command.UnloadShard unload -> {
                params.put("shard_id", unload.shardId());
                if (unload.layers() != null) {
                    params.set("layers", layers(unload.layers()));
                }
                if (unload.infoHash() != null) {
                    params.put("info_hash", unload.infoHash().toHex());
                }
            }
            case Command.ListFiles() -> {}
            case Command.GetCapabilities() -> {}
            case Command.Status() -> {}
            case Command.ExecuteTask task -> {
                params.put("task_type", Command.ExecuteTask.TASK_TYPE);
                params.put("pipeline", Long.toHexString(task.pipeline()));
                params.put("epoch", task.epoch().number());
                params.put("stage", task.stage());
                params.put("shard_id", task.shardId());
                params.set("layers", layers(task.layers()));
                params.put("info_hash", task.infoHash().toHex());
                if (task.next() != null) {
                    params.set("next", contact(task.next()));
                }
                params.set("coordinator", contact(task.coordinator()));
                params.put("activations", task.activations().name());
                params.put("context_length", task.contextLength());
                params.put("close", task.close());
                params.put("model", task.term().model().toHex());
                params.put("term", task.term().number());
            }
            case Command.StandBy stand -> {
                params.put("shard_id", stand.shardId());
                params.set("layers", layers(stand.layers()));
                params.put("info_hash", stand.infoHash().toHex());
                ArrayNode neighbours = params.putArray("neighbours");
                stand.neighbours().forEach(each -> neighbours.add(contact(each)));
            }
            case Command.NodeReady() -> {}
            case Command.Generate generate -> {
                params.put("prompt", generate.prompt());
                params.put("max_tokens", generate.maxTokens());
                params.set("sampling", sampling(generate.sampling()));
            }
            case Command.PingPeers ping -> {
                ArrayNode peers = params.putArray("peers");
                ping.peers().forEach(peer -> peers.add(contact(peer)));
            }
            case Command.Trace trace -> params.put("seconds", trace.seconds());
            case Command.ShardLoaded loaded -> {
                params.put("shard_id", loaded.shardId());
                params.set("layers", layers(loaded.layers()));
            }
            case Command.ShardProgress progress -> {
                params.put("shard_id", progress.shardId());
                params.put("verified_bytes", progress.verifiedBytes());
                params.put("size", progress.size());
                if (progress.secondsLeft() != null) {
                    params.put("seconds_left", progress.secondsLeft());
                }
                if (progress.layersReady() != null) {
                    params.put("layers_ready", progress.layersReady());
                }
            }
        }
        return params;
    }

    private static ObjectNode result(Result result) {
        ObjectNode json = JSON.createObjectNode();
        switch (result) {
            case Result.ShardReady ready -> {
                json.put("shard_id", ready.shardId());
                json.put("status", "loaded");
                json.put("path", ready.path());
                json.set("layers", layers(ready.layers()));
            }
            case Result.ShardDropped dropped -> {
                json.put("shard_id", dropped.shardId());
                json.put("status", "unloaded");
            }
            case Result.Files files -> {
                ArrayNode list = json.putArray("files");
                for (Result.FileInfo file : files.files()) {
                    list.addObject()
                            .put("info_hash", file.infoHash().toHex())
                            .put("filename", file.filename())
                            .put("size", file.size());
                }
            }
            case Result.Capabilities has -> {
                if (has.shardId() == null) {
                    json.putNull("shard_id");
                } else {
                    json.put("shard_id", has.shardId());
                }
                ObjectNode capabilities = json.putObject("capabilities");
                capabilities.put("shard_loaded", !has.loaded().isEmpty());
                capabilities.put("node_id", has.node().toHex());
                capabilities.put("role", has.role());
                capabilities.put("software", has.software());
                if (has.pinnedShard() != null) {
                    capabilities.put("pinned_shard", has.pinnedShard());
                }
                ArrayNode loaded = capabilities.putArray("loaded_shards");
                for (Result.LoadedShard shard : has.loaded()) {
                    ObjectNode entry = loaded.addObject();
                    entry.put("shard_id", shard.shardId());
                    entry.set("layers", layers(shard.layers()));
                    entry.put("pieces_root", shard.piecesRoot().toHex());
                    entry.put("memory_bytes", shard.memoryBytes());
                }
                ArrayNode onDisk = capabilities.putArray("on_disk");
                has.onDisk().forEach(root -> onDisk.add(root.toHex()));
                capabilities.put("cpu_cores", has.cores());
                capabilities.put("memory_bytes", has.memoryBytes());
                capabilities.put("kernels", has.kernels());
                capabilities.put("pid", has.pid());
                capabilities.set("contact", contact(has.contact()));
                ArrayNode devices = capabilities.putArray("devices");
                for (Result.ComputeDevice device : has.devices()) {
                    devices.addObject()
                            .put("id", device.id())
                            .put("name", device.name())
                            .put("driver", device.driver())
                            .put("memory_bytes", device.memoryBytes())
                            .put("bytes_per_second", device.bytesPerSecond());
                }
                ArrayNode speeds = capabilities.putArray("speeds");
                for (Result.Speed speed : has.speeds()) {
                    speeds.addObject()
                            .put("weights", speed.weights())
                            .put("bytes_per_second", speed.bytesPerSecond())
                            .put("may_reach", speed.mayReach());
                }
            }
            case Result.RoundTrips trips -> {
                ArrayNode peers = json.putArray("peers");
                for (Result.RoundTrip trip : trips.peers()) {
                    peers.addObject().put("node_id", trip.node().toHex()).put("micros", trip.micros());
                }
            }
            case Result.Receipts traced -> {
                ArrayNode receipts = json.putArray("receipts");
                for (Result.Receipt receipt : traced.receipts()) {
                    ObjectNode entry = receipts.addObject()
                            .put("session", Long.toHexString(receipt.session()))
                            .put("stage", receipt.stage());
                    entry.set("layers", layers(receipt.layers()));
                    entry.put("tokens_in", receipt.tokensIn())
                            .put("hash_in", receipt.hashIn().toHex())
                            .put("tokens_out", receipt.tokensOut())
                            .put("hash_out", receipt.hashOut().toHex());
                }
            }
            case Result.State state -> {
                json.put("node_id", state.node().toHex());
                json.put("role", state.role());
                json.put("state", state.state());
                json.put("sessions", state.sessions());
                json.put("uptime_seconds", state.uptimeSeconds());
            }
            case Result.TaskAccepted task -> {
                json.put("pipeline", Long.toHexString(task.pipeline()));
                json.put("stage", task.stage());
                json.put("status", task.open() ? "open" : "closed");
                if (task.open()) {
                    json.put("pages", task.pages());
                    json.put("fresh", task.fresh());
                    json.put("order", task.order());
                    if (!task.copies().positions().isEmpty()) {
                        ArrayNode copies = json.putArray("copies");
                        task.copies()
                                .positions()
                                .forEach((session, count) -> copies.addObject()
                                        .put("session", Long.toHexString(session))
                                        .put("positions", count));
                        json.put("copy_nanos", task.copies().nanosPerPosition());
                    }
                }
                if (task.outrankedBy() != 0) {
                    json.put("outranked_by", task.outrankedBy());
                }
            }
            case Result.StandsBy stands -> {
                json.put("shard_id", stands.shardId());
                json.put("status", "ready");
            }
            case Result.Generated generated -> {
                generated.promptTokens().forEach(json.putArray("prompt_tokens")::add);
                generated.tokens().forEach(json.putArray("tokens")::add);
                json.put("text", generated.text());
                json.put("stopped", generated.stopped());
            }
        }
        return json;
    }

    private static ArrayNode layers(LayerRange layers) {
        return JSON.createArrayNode().add(layers.first()).add(layers.last());
    }

    private static ObjectNode contact(Contact contact) {
        ObjectNode json = JSON.createObjectNode().put("node_id", contact.id().toHex());
        ArrayNode endpoints = json.putArray("endpoints");
        contact.endpoints().forEach(endpoint -> endpoints.add(endpoint.toString()));
        return json;
    }

    /** What is rarely used is left out where it is off. */
    private static ObjectNode sampling(Sampling sampling) {
        ObjectNode json = JSON.createObjectNode()
                .put("temperature", sampling.temperature())
                .put("top_k", sampling.topK())
                .put("top_p", sampling.topP())
                .put("min_p", sampling.minP())
                .put("seed", sampling.seed());
        if (sampling.typicalP() != 1) {
            json.put("typical_p", sampling.typicalP());
        }
        Sampling.Penalties penalties = sampling.penalties();
        if (!penalties.equals(Sampling.Penalties.NONE)) {
            json.putObject("penalties")
                    .put("last_n", penalties.lastN())
                    .put("repeat", penalties.repeat())
                    .put("frequency", penalties.frequency())
                    .put("presence", penalties.presence());
        }
        Sampling.Dry dry = sampling.dry();
        if (!dry.equals(Sampling.Dry.NONE)) {
            ArrayNode breakers = json.putObject("dry")
                    .put("multiplier", dry.multiplier())
                    .put("base", dry.base())
                    .put("allowed_length", dry.allowedLength())
                    .put("last_n", dry.lastN())
                    .putArray("breakers");
            dry.breakers().forEach(breakers::add);
        }
        if (!sampling.xtc().equals(Sampling.Xtc.NONE)) {
            json.putObject("xtc")
                    .put("probability", sampling.xtc().probability())
                    .put("threshold", sampling.xtc().threshold());
        }
        Sampling.Mirostat mirostat = sampling.mirostat();
        if (mirostat != null) {
            json.putObject("mirostat").put("tau", mirostat.tau()).put("eta", mirostat.eta());
        }
        if (!sampling.logitBias().isEmpty()) {
            ArrayNode biases = json.putArray("logit_bias");
            for (Sampling.Bias bias : sampling.logitBias()) {
                ObjectNode entry = biases.addObject().put("token", bias.token());
                if (bias.bias() != Float.NEGATIVE_INFINITY) { // JSON has no infinity: none given is never
                    entry.put("bias", bias.bias());
                }
            }
        }
        if (!sampling.grammar().isEmpty()) {
            json.put("grammar", sampling.grammar());
        }
        if (sampling.logprobs() != 0) {
            json.put("logprobs", sampling.logprobs());
        }
        return json;
    }

    // ------------------------------------------------------------------------------------------------- reading

    /** A request of which only who and which could be read; its reply is an error. */
    public static final class BadRequestException extends RuntimeException {
        private static final long serialVersionUID = 1L;

        private final transient Envelope.Failure reply;

        BadRequestException(Envelope.Failure reply) {
            super(reply.error());
            this.reply = reply;
        }

        /** What to answer. */
        public Envelope.Failure reply() {
            return reply;
        }
    }

    /**
     * Reads a request or a broadcast.
     *
     * @throws BadRequestException with the reply that it deserves
     */
    public static Envelope.Request readRequest(String text) {
        String command = "";
        String requestId = "";
        try {
            Fields json = new Fields("", parse(text));
            requestId = json.textOr("request_id", "");
            command = json.text("command");
            String from = json.textOr("from", "");
            String to = json.textOrNull("to");
            Fields params = json.objectOrEmpty("params");
            return new Envelope.Request(requestId, from, to, command(command, params));
        } catch (MalformedException | IllegalArgumentException refused) {
            throw new BadRequestException(
                    new Envelope.Failure(command, requestId, String.valueOf(refused.getMessage())));
        }
    }

    /** Reads a reply to a command. @throws MalformedException naming the field that is wrong */
    public static Envelope readReply(String text) {
        Fields json = new Fields("", parse(text));
        String command = json.text("command");
        String requestId = json.textOr("request_id", "");
        String status = json.text("status");
        try {
            return switch (status) {
                case "success" -> new Envelope.Success(command, requestId, result(command, json.object("result")));
                case "error" -> new Envelope.Failure(command, requestId, json.text("error"));
                default -> throw new MalformedException("status is '" + status + "', allowed are success, error");
            };
        } catch (IllegalArgumentException refused) {
            throw new MalformedException(String.valueOf(refused.getMessage()), refused);
        }
    }

    private static ObjectNode parse(String text) {
        if (text.length() > MAX_BYTES) {
            throw new MalformedException("an envelope has " + text.length() + " characters, allowed 0.." + MAX_BYTES);
        }
        try {
            if (JSON.readTree(text) instanceof ObjectNode object) {
                return object;
            }
            throw new MalformedException("an envelope is a JSON object");
        } catch (JacksonException malformed) {
            throw new MalformedException("an envelope is no JSON: " + malformed.getOriginalMessage(), malformed);
        }
    }

    private static Command command(String name, Fields params) {
        return switch (name) {
            case Command.LoadShard.NAME ->
                new Command.LoadShard(
                        params.integer("shard_id"),
                        params.textOrNull("model"),
                        params.layersOrNull("layers"),
                        params.hashOrNull("info_hash"));
            case Command.UnloadShard.NAME ->
                new Command.UnloadShard(
                        params.integer("shard_id"), params.layersOrNull("layers"), params.hashOrNull("info_hash"));
            case Command.ListFiles.NAME -> new Command.ListFiles();
            case Command.GetCapabilities.NAME -> new Command.GetCapabilities();
            case Command.Status.NAME -> new Command.Status();
            case Command.ExecuteTask.NAME -> executeTask(params);
            case Command.StandBy.NAME ->
                new Command.StandBy(
                        params.integer("shard_id"),
                        params.layers("layers"),
                        params.hash("info_hash"),
                        params.list("neighbours", Fields::asContact));
            case Command.NodeReady.NAME -> new Command.NodeReady();
            case Command.Generate.NAME ->
                new Command.Generate(
                        params.text("prompt"),
                        params.integerOr("max_tokens", 128),
                        sampling(params.objectOrEmpty("sampling")));
            case Command.PingPeers.NAME -> new Command.PingPeers(params.contacts("peers", Command.PingPeers.MAX_PEERS));
            case Command.Trace.NAME -> new Command.Trace(params.integer("seconds"));
            case Command.ShardLoaded.NAME -> {
                LayerRange layers = params.layersOrNull("layers");
                yield new Command.ShardLoaded(
                        params.integer("shard_id"), layers == null ? new LayerRange(0, 0) : layers);
            }
            case Command.ShardProgress.NAME ->
                new Command.ShardProgress(
                        params.integer("shard_id"),
                        params.longValue("verified_bytes"),
                        params.longValue("size"),
                        params.integerOrNull("seconds_left"),
                        params.integerOrNull("layers_ready"));
            default ->
                throw new MalformedException(
                        "Unknown command " + name + ". Known are " + String.join(", ", Command.NAMES) + ".");
        };
    }

    private static Command.ExecuteTask executeTask(Fields params) {
        String type = params.text("task_type");
        if (!type.equals(Command.ExecuteTask.TASK_TYPE)) {
            throw new MalformedException("task_type is '" + type + "', allowed is " + Command.ExecuteTask.TASK_TYPE);
        }
        return new Command.ExecuteTask(
                params.number("pipeline"),
                new Epoch(params.integer("epoch")),
                params.integer("stage"),
                params.integer("shard_id"),
                params.layers("layers"),
                params.hash("info_hash"),
                params.contactOrNull("next"),
                params.contact("coordinator"),
                params.activationType("activations"),
                params.integer("context_length"),
                params.flagOr("close", false),
                new Command.Term(params.hash("model"), params.integer("term")));
    }

    private static Sampling sampling(Fields json) {
        Fields penalties = json.objectOrEmpty("penalties");
        Fields dry = json.objectOrEmpty("dry");
        Fields xtc = json.objectOrEmpty("xtc");
        Sampling.Penalties noPenalties = Sampling.Penalties.NONE;
        Sampling.Dry noDry = Sampling.Dry.NONE;
        return new Sampling(
                json.floatOr("temperature", 0),
                json.integerOr("top_k", 0),
                json.floatOr("top_p", 1),
                json.floatOr("min_p", 0),
                json.floatOr("typical_p", 1),
                new Sampling.Penalties(
                        penalties.integerOr("last_n", noPenalties.lastN()),
                        penalties.floatOr("repeat", noPenalties.repeat()),
                        penalties.floatOr("frequency", noPenalties.frequency()),
                        penalties.floatOr("presence", noPenalties.presence())),
                new Sampling.Dry(
                        dry.floatOr("multiplier", noDry.multiplier()),
                        dry.floatOr("base", noDry.base()),
                        dry.integerOr("allowed_length", noDry.allowedLength()),
                        dry.integerOr("last_n", noDry.lastN()),
                        dry.has("breakers") ? dry.texts("breakers") : noDry.breakers()),
                new Sampling.Xtc(
                        xtc.floatOr("probability", Sampling.Xtc.NONE.probability()),
                        xtc.floatOr("threshold", Sampling.Xtc.NONE.threshold())),
                json.has("mirostat")
                        ? new Sampling.Mirostat(
                                json.object("mirostat").floatOr("tau", 5),
                                json.object("mirostat").floatOr("eta", 0.1f))
                        : null,
                json.has("logit_bias")
                        ? json.list(
                                "logit_bias",
                                entry -> new Sampling.Bias(
                                        entry.integer("token"), entry.floatOr("bias", Float.NEGATIVE_INFINITY)))
                        : List.of(),
                json.textOr("grammar", ""),
                json.integerOr("logprobs", 0),
                json.longOr("seed", 0));
    }

    private static Result result(String command, Fields json) {
        return switch (command) {
            case Command.LoadShard.NAME -> {
                LayerRange layers = json.layersOrNull("layers");
                yield new Result.ShardReady(
                        json.integer("shard_id"), json.text("path"), layers == null ? new LayerRange(0, 0) : layers);
            }
            case Command.UnloadShard.NAME -> new Result.ShardDropped(json.integer("shard_id"));
            case Command.ListFiles.NAME ->
                new Result.Files(json.list(
                        "files",
                        file -> new Result.FileInfo(
                                file.hash("info_hash"), file.text("filename"), file.longValue("size"))));
            case Command.GetCapabilities.NAME -> capabilities(json);
            case Command.Status.NAME ->
                new Result.State(
                        json.node("node_id"),
                        json.text("role"),
                        json.text("state"),
                        json.integer("sessions"),
                        json.longValue("uptime_seconds"));
            case Command.ExecuteTask.NAME ->
                new Result.TaskAccepted(
                        json.number("pipeline"),
                        json.integer("stage"),
                        json.text("status").equals("open"),
                        json.integerOr("pages", 0),
                        json.flagOr("fresh", true),
                        json.textOr("order", ""),
                        json.integerOr("outranked_by", 0),
                        copies(json));
            case Command.StandBy.NAME -> new Result.StandsBy(json.integer("shard_id"));
            case Command.Generate.NAME ->
                new Result.Generated(
                        json.integers("prompt_tokens"),
                        json.integers("tokens"),
                        json.text("text"),
                        json.text("stopped"));
            case Command.PingPeers.NAME ->
                new Result.RoundTrips(json.list(
                        "peers", peer -> new Result.RoundTrip(peer.node("node_id"), peer.longValue("micros"))));
            case Command.Trace.NAME ->
                new Result.Receipts(json.list(
                        "receipts",
                        receipt -> new Result.Receipt(
                                receipt.number("session"),
                                receipt.integer("stage"),
                                receipt.layers("layers"),
                                receipt.longValue("tokens_in"),
                                receipt.hash("hash_in"),
                                receipt.longValue("tokens_out"),
                                receipt.hash("hash_out"))));
            default -> throw new MalformedException("there is no reply to " + command);
        };
    }

    private static Result.Capabilities capabilities(Fields json) {
        Fields has = json.object("capabilities");
        return new Result.Capabilities(
                json.integerOrNull("shard_id"),
                has.integerOrNull("pinned_shard"),
                has.node("node_id"),
                has.text("role"),
                has.textOr("software", ""),
                has.list(
                        "loaded_shards",
                        shard -> new Result.LoadedShard(
                                shard.integer("shard_id"),
                                shard.layers("layers"),
                                shard.hash("pieces_root"),
                                shard.longOr("memory_bytes", 0))),
                has.hashes("on_disk"),
                has.integer("cpu_cores"),
                has.longValue("memory_bytes"),
                has.textOr("kernels", ""),
                has.longOr("pid", 0),
                has.contact("contact"),
                has.has("devices")
                        ? has.list(
                                "devices",
                                device -> new Result.ComputeDevice(
                                        device.text("id"),
                                        device.text("name"),
                                        device.text("driver"),
                                        device.longValue("memory_bytes"),
                                        device.longOr("bytes_per_second", 0)))
                        : List.of(),
                has.has("speeds")
                        ? has.list(
                                "speeds",
                                speed -> new Result.Speed(
                                        speed.text("weights"),
                                        speed.longValue("bytes_per_second"),
                                        speed.longValue("may_reach")))
                        : List.of());
    }

    private static Result.HeldCopies copies(Fields task) {
        if (!task.has("copies")) {
            return Result.HeldCopies.NONE;
        }
        record Held(long session, int positions) {}

        Map<Long, Integer> positions =
                task.list("copies", each -> new Held(each.number("session"), each.integer("positions"))).stream()
                        .collect(Collectors.toMap(Held::session, Held::positions, Math::min));
        return new Result.HeldCopies(positions, task.longOr("copy_nanos", 0));
    }

    /** The fields of one JSON object, with errors that name them. */
    private record Fields(String path, ObjectNode json) {
        private MalformedException wrong(String key, String allowed) {
            JsonNode found = json.get(key);
            String name = path.isEmpty() ? key : path + "." + key;
            return new MalformedException(
                    found == null || found.isNull()
                            ? name + " is missing; it must be " + allowed
                            : name + " is " + shortened(found.toString()) + ", it must be " + allowed);
        }

        private static String shortened(String text) {
            return text.length() > 64 ? text.substring(0, 64) + "…" : text;
        }

        private boolean has(String key) {
            return json.hasNonNull(key);
        }

        String text(String key) {
            if (has(key) && json.get(key).isString()) {
                return json.get(key).asString();
            }
            throw wrong(key, "a text");
        }

        String textOr(String key, String otherwise) {
            return has(key) ? text(key) : otherwise;
        }

        @Nullable String textOrNull(String key) {
            return has(key) ? text(key) : null;
        }

        int integer(String key) {
            if (has(key) && json.get(key).isIntegralNumber() && json.get(key).canConvertToInt()) {
                return json.get(key).asInt();
            }
            throw wrong(key, "a whole number");
        }

        int integerOr(String key, int otherwise) {
            return has(key) ? integer(key) : otherwise;
        }

        @Nullable Integer integerOrNull(String key) {
            return has(key) ? integer(key) : null;
        }

        long longValue(String key) {
            if (has(key) && json.get(key).isIntegralNumber() && json.get(key).canConvertToLong()) {
                return json.get(key).asLong();
            }
            throw wrong(key, "a whole number");
        }

        long longOr(String key, long otherwise) {
            return has(key) ? longValue(key) : otherwise;
        }

        float floatOr(String key, float otherwise) {
            if (!has(key)) {
                return otherwise;
            }
            if (json.get(key).isNumber()) {
                return (float) json.get(key).asDouble();
            }
            throw wrong(key, "a number");
        }

        boolean flagOr(String key, boolean otherwise) {
            if (!has(key)) {
                return otherwise;
            }
            if (json.get(key).isBoolean()) {
                return json.get(key).asBoolean();
            }
            throw wrong(key, "true or false");
        }

        long number(String key) {
            try {
                return Long.parseUnsignedLong(text(key), 16);
            } catch (NumberFormatException notHex) {
                throw wrong(key, "up to 16 hexadecimal digits");
            }
        }

        Hash256 hash(String key) {
            try {
                return Hash256.parse(text(key));
            } catch (MalformedException notAHash) {
                throw wrong(key, "64 hexadecimal digits");
            }
        }

        @Nullable Hash256 hashOrNull(String key) {
            return has(key) ? hash(key) : null;
        }

        NodeId node(String key) {
            return new NodeId(hash(key));
        }

        LayerRange layers(String key) {
            JsonNode pair = json.get(key);
            if (pair instanceof ArrayNode array
                    && array.size() == 2
                    && array.get(0).isIntegralNumber()
                    && array.get(1).isIntegralNumber()
                    && array.get(0).canConvertToInt()
                    && array.get(1).canConvertToInt()) {
                return new LayerRange(array.get(0).asInt(), array.get(1).asInt());
            }
            throw wrong(key, "[first, last]");
        }

        @Nullable LayerRange layersOrNull(String key) {
            return has(key) ? layers(key) : null;
        }

        ActivationType activationType(String key) {
            for (ActivationType type : ActivationType.values()) {
                if (type.name().equals(textOr(key, ""))) {
                    return type;
                }
            }
            throw wrong(key, "F32 or F16");
        }

        Fields object(String key) {
            if (json.get(key) instanceof ObjectNode object) {
                return new Fields(path.isEmpty() ? key : path + "." + key, object);
            }
            throw wrong(key, "an object");
        }

        Fields objectOrEmpty(String key) {
            return has(key)
                    ? object(key)
                    : new Fields(path.isEmpty() ? key : path + "." + key, JSON.createObjectNode());
        }

        Contact contact(String key) {
            return object(key).asContact();
        }

        /** These fields as they stand in a contact. */
        Contact asContact() {
            if (!(json.get("endpoints") instanceof ArrayNode texts)) {
                throw wrong("endpoints", "a list of addresses");
            }
            var endpoints = new ArrayList<Endpoint>();
            for (JsonNode text : texts) {
                endpoints.add(Endpoint.parse(text.asString()));
            }
            return new Contact(node("node_id"), endpoints);
        }

        List<Contact> contacts(String key, int most) {
            if (json.get(key) instanceof ArrayNode array && array.size() > most) {
                throw new MalformedException(key + " has " + array.size() + " elements, allowed 0.." + most);
            }
            return list(key, Fields::asContact);
        }

        @Nullable Contact contactOrNull(String key) {
            return has(key) ? contact(key) : null;
        }

        <T> List<T> list(String key, java.util.function.Function<Fields, T> element) {
            if (!(json.get(key) instanceof ArrayNode array)) {
                throw wrong(key, "a list");
            }
            var list = new ArrayList<T>();
            for (JsonNode entry : array) {
                if (!(entry instanceof ObjectNode object)) {
                    throw wrong(key, "a list of objects");
                }
                list.add(element.apply(new Fields(key, object)));
            }
            return list;
        }

        List<String> texts(String key) {
            if (!(json.get(key) instanceof ArrayNode array)) {
                throw wrong(key, "a list");
            }
            var list = new ArrayList<String>();
            for (JsonNode entry : array) {
                if (!entry.isString()) {
                    throw wrong(key, "a list of texts");
                }
                list.add(entry.asString());
            }
            return list;
        }

        List<Integer> integers(String key) {
            if (!(json.get(key) instanceof ArrayNode array)) {
                throw wrong(key, "a list");
            }
            var list = new ArrayList<Integer>();
            for (JsonNode entry : array) {
                if (!entry.isIntegralNumber() || !entry.canConvertToInt()) {
                    throw wrong(key, "a list of whole numbers");
                }
                list.add(entry.asInt());
            }
            return list;
        }

        List<Hash256> hashes(String key) {
            if (!has(key)) {
                return List.of();
            }
            if (!(json.get(key) instanceof ArrayNode array)) {
                throw wrong(key, "a list");
            }
            var list = new ArrayList<Hash256>();
            for (JsonNode entry : array) {
                list.add(Hash256.parse(entry.asString()));
            }
            return list;
        }
    }
}
