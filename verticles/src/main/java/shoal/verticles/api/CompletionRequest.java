package shoal.verticles.api;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.bridge.model.text.grammar.JsonSchemaGrammar;
import shoal.codec.base.MalformedException;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Sampling;
import shoal.verticles.bus.Local;
import tools.jackson.core.type.TypeReference;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * What a program asked for at /v1/completions or /v1/chat/completions. What would change the answer and cannot be done is refused
 * by name; other unknown fields are passed over, as clients send them freely.
 *
 * @param model as the client named it, or null
 * @param maxTokens 0 for as many as fit
 * @param usageInStream whether a stream ends with a chunk that counts tokens
 * @param resumable whether a stream goes on for a while when its client is gone, which may come back
 * @param logProbabilities whether each token's log probability is told
 */
record CompletionRequest(
        @Nullable String model,
        Local.Prompt prompt,
        int maxTokens,
        Sampling sampling,
        List<String> stop,
        boolean stream,
        boolean usageInStream,
        boolean resumable,
        boolean logProbabilities) {
    static final int MAX_STOPS = 16;
    static final int MAX_STOP_LENGTH = 256;
    static final int MAX_MESSAGES = 4096;
    private static final int DEFAULT_COMPLETION_TOKENS = 16; // as in OpenAI's API
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final TypeReference<LinkedHashMap<String, @Nullable Object>> OBJECT = new TypeReference<>() {};
    private static final TypeReference<List<Object>> LIST = new TypeReference<>() {};

    /** @throws ApiException naming the field that is wrong */
    static CompletionRequest completion(ObjectNode body) {
        if (body.has("suffix") && !body.get("suffix").isNull()) {
            throw ApiException.wrong("suffix", "suffix is not supported; put all text into prompt");
        }
        if (flag(body, "echo")) {
            throw ApiException.wrong("echo", "echo is not supported; the prompt is known to who asks");
        }
        JsonNode prompt = body.path("prompt");
        if (prompt instanceof ArrayNode list && list.size() == 1 && list.get(0).isString()) {
            prompt = list.get(0);
        }
        if (!prompt.isString()) {
            throw ApiException.wrong("prompt", "prompt is " + kind(prompt) + ", it must be one text");
        }
        return of(body, new Local.Prompt.Text(prompt.asString()), DEFAULT_COMPLETION_TOKENS);
    }

    /** @throws ApiException naming the field that is wrong */
    static CompletionRequest chat(ObjectNode body) {
        JsonNode messages = body.path("messages");
        if (!messages.isArray() || messages.isEmpty() || messages.size() > MAX_MESSAGES) {
            throw ApiException.wrong(
                    "messages",
                    "messages is "
                            + (messages.isArray() ? "a list of " + messages.size() + " messages" : kind(messages))
                            + ", it must be a list of 1.." + MAX_MESSAGES + " messages");
        }
        var list = new ArrayList<Object>();
        for (int i = 0; i < messages.size(); i++) {
            list.add(message(messages.get(i), "messages[" + i + "]"));
        }
        JsonNode tools = body.path("tools");
        if (!tools.isMissingNode() && !tools.isNull() && !tools.isArray()) {
            throw ApiException.wrong("tools", "tools is " + kind(tools) + ", it must be a list");
        }
        var variables = new LinkedHashMap<String, @Nullable Object>();
        if (body.path("chat_template_kwargs") instanceof ObjectNode further) {
            variables.putAll(JSON.convertValue(further, OBJECT));
        }
        return of(
                body,
                new Local.Prompt.Chat(
                        list, tools.isArray() && !tools.isEmpty() ? JSON.convertValue(tools, LIST) : null, variables),
                0);
    }

    /** A message as templates want it: texts in parts are joined, since most templates take one text. */
    private static Map<String, @Nullable Object> message(JsonNode message, String path) {
        if (!(message instanceof ObjectNode object) || !object.path("role").isString()) {
            throw ApiException.wrong(path, path + " must be an object with a role and a content");
        }
        var map = new LinkedHashMap<>(JSON.convertValue(object, OBJECT));
        JsonNode content = object.path("content");
        if (content instanceof ArrayNode parts) {
            var text = new StringBuilder();
            for (JsonNode part : parts) {
                if (!part.path("type").asString("").equals("text")
                        || !part.path("text").isString()) {
                    throw ApiException.wrong(
                            path + ".content", path + ".content has a part that is no text; only texts are understood");
                }
                text.append(part.get("text").asString());
            }
            map.put("content", text.toString());
        } else if (!content.isString() && !content.isNull() && !content.isMissingNode()) {
            throw ApiException.wrong(path + ".content", path + ".content is " + kind(content) + ", it must be a text");
        }
        return map;
    }

    private static CompletionRequest of(ObjectNode body, Local.Prompt prompt, int defaultTokens) {
        if (whole(body, "n", 1, 1, 1) != 1 || whole(body, "best_of", 1, 1, 1) != 1) {
            throw new IllegalStateException("checked by their bounds");
        }
        int maxTokens = whole(
                body,
                "max_completion_tokens",
                whole(body, "max_tokens", defaultTokens, 0, Frame.Generate.MAX_TOKENS),
                0,
                Frame.Generate.MAX_TOKENS);
        int logProbabilities = logProbabilities(body);
        var sampling = new Sampling(
                        (float) number(body, "temperature", 1, 0, 2),
                        whole(body, "top_k", 0, 0, Sampling.MAX_TOP_K),
                        (float) number(body, "top_p", 1, 0, 1),
                        (float) number(body, "min_p", 0, 0, 1),
                        seed(body))
                .withPenalties(new Sampling.Penalties(
                        Sampling.Penalties.NONE.lastN(), 1, (float) number(body, "frequency_penalty", 0, -2, 2), (float)
                                number(body, "presence_penalty", 0, -2, 2)))
                .withLogitBias(biases(body))
                .withGrammar(grammar(body.path("response_format")))
                .withLogprobs(Math.max(0, logProbabilities));
        boolean stream = flag(body, "stream");
        return new CompletionRequest(
                body.path("model").isString() ? body.get("model").asString() : null,
                prompt,
                maxTokens,
                sampling,
                stop(body.path("stop")),
                stream,
                stream && flag(body.path("stream_options"), "include_usage"),
                stream && flag(body.path("stream_options"), "resumable"),
                logProbabilities >= 0);
    }

    /**
     * How many of the likeliest tokens are told beside the chosen one's log probability; -1 for none at all. In a chat
     * {@code logprobs} is true or false and {@code top_logprobs} a number, in a completion {@code logprobs} is the number.
     */
    private static int logProbabilities(ObjectNode body) {
        JsonNode asked = body.path("logprobs");
        if (asked.isNumber()) {
            return whole(body, "logprobs", 0, 0, Sampling.MAX_LOGPROBS);
        }
        int top = whole(body, "top_logprobs", 0, 0, Sampling.MAX_LOGPROBS);
        return flag(body, "logprobs") ? top : -1;
    }

    /** OpenAI's form: an object from token ids to -100..100. */
    private static List<Sampling.Bias> biases(ObjectNode body) {
        var biases = new ArrayList<Sampling.Bias>();
        if (body.path("logit_bias") instanceof ObjectNode object) {
            if (object.size() > Sampling.MAX_BIASES) {
                throw ApiException.wrong(
                        "logit_bias",
                        "logit_bias has " + object.size() + " tokens, allowed are " + Sampling.MAX_BIASES);
            }
            for (Map.Entry<String, JsonNode> entry : object.properties()) {
                double bias = number(object, entry.getKey(), 0, -100, 100);
                try {
                    biases.add(new Sampling.Bias(Integer.parseInt(entry.getKey()), (float) bias));
                } catch (NumberFormatException notAnId) {
                    throw ApiException.wrong(
                            "logit_bias", "logit_bias names '" + entry.getKey() + "', which is no token id");
                }
            }
        }
        return biases;
    }

    /** What response_format allows, in GBNF; empty for anything. */
    private static String grammar(JsonNode format) {
        String type = format.path("type").asString("text");
        try {
            return switch (type) {
                case "text" -> "";
                case "json_object" -> JsonSchemaGrammar.gbnf(Map.of("type", "object"));
                case "json_schema" ->
                    JsonSchemaGrammar.gbnf(
                            JSON.treeToValue(format.path("json_schema").path("schema"), Object.class));
                default ->
                    throw ApiException.wrong(
                            "response_format",
                            "response_format '" + type + "' is not known; known are text, json_object and json_schema");
            };
        } catch (MalformedException wrong) {
            throw ApiException.wrong("response_format", "the JSON schema: " + wrong.getMessage());
        }
    }

    /** Without a seed each request draws its own. */
    private static long seed(ObjectNode body) {
        JsonNode seed = body.path("seed");
        if (seed.isMissingNode() || seed.isNull()) {
            return new java.security.SecureRandom().nextLong();
        }
        if (!seed.isIntegralNumber() || !seed.canConvertToLong()) {
            throw ApiException.wrong("seed", "seed is " + kind(seed) + ", it must be a whole number of 64 bits");
        }
        return seed.asLong();
    }

    private static List<String> stop(JsonNode stop) {
        if (stop.isMissingNode() || stop.isNull()) {
            return List.of();
        }
        var texts = new ArrayList<String>();
        for (JsonNode text : stop.isArray() ? stop : JSON.createArrayNode().add(stop)) {
            if (!text.isString()
                    || text.asString().isEmpty()
                    || text.asString().length() > MAX_STOP_LENGTH
                    || texts.size() == MAX_STOPS) {
                throw ApiException.wrong(
                        "stop",
                        "stop must be one text or a list of up to " + MAX_STOPS + ", each of 1.." + MAX_STOP_LENGTH
                                + " characters");
            }
            texts.add(text.asString());
        }
        return texts;
    }

    private static boolean flag(JsonNode body, String name) {
        JsonNode value = body.path(name);
        if (!value.isMissingNode() && !value.isNull() && !value.isBoolean()) {
            throw ApiException.wrong(name, name + " is " + kind(value) + ", it must be true or false");
        }
        return value.asBoolean(false);
    }

    private static int whole(JsonNode body, String name, int otherwise, int min, int max) {
        JsonNode value = body.path(name);
        if (value.isMissingNode() || value.isNull()) {
            return otherwise;
        }
        if (!value.isIntegralNumber() || !value.canConvertToInt() || value.asInt() < min || value.asInt() > max) {
            throw ApiException.wrong(
                    name,
                    name + " is " + kind(value) + ", allowed "
                            + (min == max ? "is " + min : "are " + min + ".." + max));
        }
        return value.asInt();
    }

    private static double number(JsonNode body, String name, double otherwise, double min, double max) {
        JsonNode value = body.path(name);
        if (value.isMissingNode() || value.isNull()) {
            return otherwise;
        }
        if (!value.isNumber() || !(value.asDouble() >= min && value.asDouble() <= max)) {
            throw ApiException.wrong(name, name + " is " + kind(value) + ", allowed are " + min + ".." + max);
        }
        return value.asDouble();
    }

    /** A value, short enough for an error message. */
    private static String kind(JsonNode value) {
        if (value.isMissingNode()) {
            return "missing";
        }
        String text = value.toString();
        return text.length() <= 60
                ? text
                : "of type " + value.getNodeType().name().toLowerCase(java.util.Locale.ROOT);
    }

    /** What another coordinator needs to know to tell a streamed answer to its client; null if none should. */
    @Nullable String form(long createdSeconds) {
        return !resumable
                ? null
                : JSON.writeValueAsString(JSON.createObjectNode()
                        .put("chat", prompt instanceof Local.Prompt.Chat)
                        .put("usage", usageInStream)
                        .put("chances", logProbabilities)
                        .put("created", createdSeconds));
    }

    /** A streamed answer as its form tells, without what it was asked. */
    static CompletionRequest ofForm(String form) {
        JsonNode json = JSON.readTree(form);
        boolean chat = json.path("chat").asBoolean(false);
        return new CompletionRequest(
                null,
                chat ? new Local.Prompt.Chat(List.of(), null, Map.of()) : new Local.Prompt.Text(""),
                0,
                Sampling.GREEDY,
                List.of(),
                true,
                json.path("usage").asBoolean(false),
                true,
                json.path("chances").asBoolean(false));
    }

    /** Seconds since 1970. */
    static long created(String form) {
        return JSON.readTree(form).path("created").asLong(0);
    }
}
