package shoal.verticles.cli;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import shoal.bridge.model.ModelFile;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.base.NodeId;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.LayerWeights;
import shoal.codec.gguf.VocabularyFile;
import shoal.codec.pipeline.LinkTimes;
import shoal.codec.pipeline.PlacementPlanner;
import shoal.codec.pipeline.PlanReport;
import shoal.verticles.config.ProfileException;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * Machines that somebody thinks of, from a JSON file:
 *
 * <pre>{@code
 * {"round_trip_ms": 0.4,
 *  "nodes": [{"name": "desk", "memory": "16G", "gigabytes_per_second": 30}, …],
 *  "links": [{"from": "desk", "to": "attic", "round_trip_ms": 5}, {"from": "desk", "to": "coordinator", "round_trip_ms": 1}]}
 * }</pre>
 */
final class ImaginedSwarm {
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final String COORDINATOR = "coordinator";
    private static final int MAX_NODES = 256;
    private static final long MAX_FILE_BYTES = 1 << 20;
    private static final double MAX_ROUND_TRIP_MILLIS = 60_000;
    private static final double NANOS_PER_MILLI = 1e6;

    private final Map<NodeId, String> names = new LinkedHashMap<>();
    private final Map<NodeId, Long> memory = new HashMap<>();
    private final Map<NodeId, Double> bytesPerSecond = new HashMap<>();
    private final Map<Set<NodeId>, Long> ways = new HashMap<>();
    private long usualWay;

    private ImaginedSwarm() {}

    /** @throws IOException naming what is wrong with the file */
    static ImaginedSwarm read(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new IOException(file + (Files.exists(file) ? " is no file." : " does not exist."));
        }
        if (Files.size(file) > MAX_FILE_BYTES) {
            throw new IOException(file + " has " + Files.size(file) + " bytes, allowed are " + MAX_FILE_BYTES + ".");
        }
        try {
            return new ImaginedSwarm().fill(JSON.readTree(Files.readAllBytes(file)));
        } catch (JacksonException noJson) {
            throw new IOException(file + " is no JSON: " + noJson.getOriginalMessage());
        } catch (MalformedException | ProfileException wrong) {
            throw new IOException(file + ": " + wrong.getMessage());
        }
    }

    private ImaginedSwarm fill(JsonNode json) {
        usualWay = way(json, "round_trip_ms", 2 * LinkTimes.LOCAL_NANOS / NANOS_PER_MILLI);
        names.put(id(COORDINATOR), COORDINATOR);
        if (!json.path("nodes").isArray() || json.path("nodes").isEmpty()) {
            throw new MalformedException("nodes is missing; it must be a list of machines, such as"
                    + " {\"name\": \"desk\", \"memory\": \"16G\", \"gigabytes_per_second\": 30}");
        }
        if (json.path("nodes").size() > MAX_NODES) {
            throw new MalformedException(
                    "nodes has " + json.path("nodes").size() + " elements, allowed 1.." + MAX_NODES);
        }
        for (JsonNode node : json.path("nodes")) {
            String name = node.path("name").asString("");
            if (name.isBlank() || names.containsKey(id(name))) {
                throw new MalformedException("a node's name is '" + name + "'; it must be a text of its own");
            }
            names.put(id(name), name);
            memory.put(id(name), bytes(name, node.path("memory")));
            if (node.has("gigabytes_per_second")) {
                double speed = node.path("gigabytes_per_second").asDouble(0);
                if (!(speed > 0 && speed < 1e6)) {
                    throw new MalformedException("gigabytes_per_second of " + name + " is "
                            + node.path("gigabytes_per_second") + ", it must be a number above 0");
                }
                bytesPerSecond.put(id(name), speed * 1e9);
            }
        }
        for (JsonNode link : json.path("links")) {
            ways.put(Set.of(end(link, "from"), end(link, "to")), way(link, "round_trip_ms", Double.NaN));
        }
        return this;
    }

    private NodeId end(JsonNode link, String key) {
        NodeId id = id(link.path(key).asString(""));
        String other = link.path(key.equals("from") ? "to" : "from").asString("");
        if (!names.containsKey(id) || names.get(id).equals(other)) {
            throw new MalformedException("a link goes " + key + " " + link.path(key) + ", allowed are two of "
                    + String.join(", ", names.values()));
        }
        return id;
    }

    private static long bytes(String name, JsonNode value) {
        if (value.isIntegralNumber() && value.canConvertToLong() && value.asLong() > 0) {
            return value.asLong();
        }
        if (value.isString()) {
            return MemoryOptions.bytes("memory of " + name, value.asString());
        }
        throw new MalformedException("memory of " + name + " is " + (value.isMissingNode() ? "missing" : value)
                + ", it must be a number of bytes, or a text such as \"16G\"");
    }

    private static long way(JsonNode json, String key, double otherwise) {
        double millis = json.has(key) ? json.path(key).asDouble(Double.NaN) : otherwise;
        if (!(millis >= 0 && millis <= MAX_ROUND_TRIP_MILLIS)) {
            throw new MalformedException(key + " is " + (json.has(key) ? json.path(key) : "missing")
                    + ", it must be a number of milliseconds, 0.." + (int) MAX_ROUND_TRIP_MILLIS);
        }
        return Math.round(millis * NANOS_PER_MILLI / 2);
    }

    private static NodeId id(String name) {
        return new NodeId(Hash256.sha256(name.getBytes(StandardCharsets.UTF_8)));
    }

    /**
     * The best placement of a model on these machines.
     *
     * @param model a whole model, or a vocabulary file
     * @throws IOException if the model can't be read
     * @throws PlacementPlanner.NoPlacementException if the machines can't hold it
     */
    Map<String, Object> plan(Path model, int sequences) throws IOException {
        List<LayerWeights.Part> parts;
        String name = String.valueOf(model.getFileName());
        try (ModelFile file = ModelFile.open(model)) {
            Gguf header = file.header();
            parts = VocabularyFile.isOne(header)
                    ? LayerWeights.ofShards(VocabularyFile.manifest(header), file.sizeBytes())
                    : LayerWeights.ofLayers(header);
        }
        var candidates = new ArrayList<PlacementPlanner.Candidate>();
        for (NodeId node : names.keySet()) {
            Long bytes = memory.get(node);
            if (bytes != null) {
                candidates.add(new PlacementPlanner.Candidate(
                        node, bytes, Set.of(), null, nanos(parts, bytesPerSecond.get(node))));
            }
        }
        LinkTimes links = (from, to) -> from.equals(to) ? 0 : ways.getOrDefault(Set.of(from, to), usualWay);
        var question = new PlacementPlanner.Question(
                parts.stream().map(LayerWeights.Part::memoryBytes).toList(),
                candidates,
                id(COORDINATOR),
                links,
                sequences,
                false);
        List<LayerRange> ranges = parts.stream().map(LayerWeights.Part::layers).toList();
        return PlanReport.of(
                name,
                ranges,
                question,
                PlacementPlanner.explain(question),
                node -> names.getOrDefault(node, node.toHex()));
    }

    private static List<Long> nanos(List<LayerWeights.Part> parts, @Nullable Double bytesPerSecond) {
        return bytesPerSecond == null
                ? List.of()
                : parts.stream()
                        .map(part -> Math.round(part.tokenBytes() / bytesPerSecond * 1e9))
                        .toList();
    }
}
