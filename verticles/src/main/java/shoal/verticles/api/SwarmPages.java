package shoal.verticles.api;

import io.vertx.ext.web.RoutingContext;
import java.util.List;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.verticles.bus.Local;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** How a swarm tells over HTTP what it consists of. */
final class SwarmPages {
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final int MAX_SEQUENCES = 65_536;
    private static final int MAX_PROOF_TOKENS = 256;

    private SwarmPages() {}

    /** @throws ApiException for a number that is none */
    static Local.AskPlan askPlan(RoutingContext request) {
        List<String> wish = request.queryParam("sequences");
        if (wish.isEmpty()) {
            return new Local.AskPlan(null);
        }
        try {
            int sequences = Integer.parseInt(wish.getFirst());
            if (sequences >= 0 && sequences <= MAX_SEQUENCES) {
                return new Local.AskPlan(sequences);
            }
        } catch (NumberFormatException noNumber) {
            // told below
        }
        throw ApiException.refused(
                "sequences is '" + wish.getFirst() + "', allowed are 0.." + MAX_SEQUENCES + ", 0 for many");
    }

    static ObjectNode nodes(Local.SwarmState state) {
        ObjectNode all = JSON.createObjectNode()
                .put("model", state.model())
                .put("ready", state.ready())
                .put("reason", state.ready() ? null : state.trouble())
                .put("generations", state.generations());
        ArrayNode nodes = all.putArray("nodes");
        for (Local.NodeState node : state.nodes()) {
            ObjectNode entry = nodes.addObject()
                    .put("id", node.node().toHex())
                    .put("pid", node.pid())
                    .put("role", node.role());
            ArrayNode layers = entry.putArray("layers");
            node.layers().forEach(range -> layers.addArray().add(range.first()).add(range.last()));
            if (node.epoch() == null) {
                entry.putNull("epoch");
            } else {
                entry.put("epoch", node.epoch().number());
            }
            entry.put("state", node.state()).put("kernels", node.kernels());
        }
        return all;
    }

    static ObjectNode plan(Local.PlanTold plan) {
        return JSON.valueToTree(plan.report());
    }

    /** @throws ApiException for a field that is wrong */
    static Local.AskProof askProof(ObjectNode body) {
        JsonNode prompt = body.path("prompt");
        JsonNode tokens = body.path("tokens");
        if (!prompt.isString()) {
            throw ApiException.refused("prompt is " + prompt + ", it must be one text");
        }
        if (!tokens.isIntegralNumber() || !tokens.canConvertToInt()) {
            throw ApiException.refused("tokens is " + tokens + ", it must be a whole number");
        }
        if (tokens.asInt() < 1 || tokens.asInt() > MAX_PROOF_TOKENS) {
            throw ApiException.refused("tokens is " + tokens + ", allowed are 1.." + MAX_PROOF_TOKENS);
        }
        return new Local.AskProof(prompt.asString(), tokens.asInt());
    }

    static ObjectNode proof(Local.Proof proof) {
        ObjectNode json = JSON.createObjectNode()
                .put("model", proof.model())
                .put("model_root", proof.modelRoot().toHex())
                .put("unsplit", proof.unsplit())
                .put("cluster", proof.cluster());
        proof.bootstrap().forEach(json.putArray("bootstrap")::add);
        ArrayNode files = json.putArray("files");
        for (Local.ProvenFile file : proof.files()) {
            ObjectNode entry = files.addObject().put("name", file.name());
            entry.set("layers", layers(file.layers()));
            entry.put("pieces_root", file.piecesRoot().toHex())
                    .put("info_hash", file.infoHash().toHex())
                    .put("size", file.size());
            ArrayNode nodes = entry.putArray("nodes");
            file.nodes().forEach(node -> nodes.add(node.toHex()));
        }
        ArrayNode stages = json.putArray("stages");
        for (Local.ProvenStage stage : proof.stages()) {
            ObjectNode entry = stages.addObject().put("node", stage.node().toHex());
            entry.set("layers", layers(stage.layers()));
            entry.put("loaded", stage.loaded())
                    .put("tokens_in", stage.tokensIn())
                    .put("hash_in", hex(stage.hashIn()))
                    .put("tokens_out", stage.tokensOut())
                    .put("hash_out", hex(stage.hashOut()))
                    .put("trouble", stage.trouble());
        }
        proof.promptTokens().forEach(json.putArray("prompt_tokens")::add);
        proof.tokens().forEach(json.putArray("tokens")::add);
        return json.put("trouble", proof.trouble());
    }

    private static @Nullable String hex(@Nullable Hash256 hash) {
        return hash == null ? null : hash.toHex();
    }

    private static ArrayNode layers(LayerRange layers) {
        return JSON.createArrayNode().add(layers.first()).add(layers.last());
    }
}
