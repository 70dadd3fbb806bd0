package shoal.verticles.api;

import java.nio.charset.StandardCharsets;
import java.util.List;
import org.jspecify.annotations.Nullable;
import shoal.verticles.bus.Local;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * One answer in OpenAI's form, whole or as the chunks of a stream. Beside their fields stands {@code shoal}: which machines computed
 * which layers, with which kernels, and how long it took.
 */
final class Answer {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final String id;
    private final boolean chat;
    private final boolean logProbabilities;
    private final long createdSeconds;
    private final Local.GenerationAccepted accepted;
    private final StringBuilder text = new StringBuilder();
    private final ArrayNode tokens = JSON.createArrayNode();

    Answer(String id, CompletionRequest request, long createdSeconds, Local.GenerationAccepted accepted) {
        this.id = id;
        this.chat = request.prompt() instanceof Local.Prompt.Chat;
        this.logProbabilities = request.logProbabilities();
        this.createdSeconds = createdSeconds;
        this.accepted = accepted;
    }

    // ------------------------------------------------------------------------------------------ a stream

    /** The first chunk of a chat; null for a completion, which begins with text. */
    @Nullable ObjectNode opening() {
        if (!chat) {
            return null;
        }
        ObjectNode chunk = base("chat.completion.chunk");
        ObjectNode choice = choice(chunk, null);
        choice.putObject("delta").put("role", "assistant").put("content", "");
        return chunk;
    }

    /** A chunk for a token; null while its text is held back and nothing else is to be told. */
    @Nullable ObjectNode chunk(Local.GenerationNews.Piece piece) {
        if (piece.text().isEmpty() && !logProbabilities) {
            return null;
        }
        ObjectNode chunk = base(chat ? "chat.completion.chunk" : "text_completion");
        ObjectNode choice = choice(chunk, null);
        say(choice, piece.text());
        if (logProbabilities) {
            ArrayNode one = JSON.createArrayNode();
            addLogProbability(one, piece);
            putLogProbabilities(choice, one);
        }
        return chunk;
    }

    /** The last chunk with a choice. */
    ObjectNode closing(Local.GenerationNews.Ended ended) {
        ObjectNode chunk = base(chat ? "chat.completion.chunk" : "text_completion");
        ObjectNode choice = choice(chunk, reason(ended));
        if (chat && ended.text().isEmpty()) {
            choice.putObject("delta");
        } else {
            say(choice, ended.text());
        }
        putRun(chunk, ended);
        return chunk;
    }

    /** The chunk behind the last, for who asked to be told the usage. */
    ObjectNode usage(Local.GenerationNews.Ended ended) {
        ObjectNode chunk = base(chat ? "chat.completion.chunk" : "text_completion");
        chunk.putArray("choices");
        putUsage(chunk, ended);
        return chunk;
    }

    private void say(ObjectNode choice, String words) {
        if (chat) {
            choice.putObject("delta").put("content", words);
        } else {
            choice.put("text", words);
        }
    }

    // ------------------------------------------------------------------------------------------- as a whole

    void add(Local.GenerationNews.Piece piece) {
        text.append(piece.text());
        if (logProbabilities) {
            addLogProbability(tokens, piece);
        }
    }

    ObjectNode whole(Local.GenerationNews.Ended ended) {
        text.append(ended.text());
        ObjectNode answer = base(chat ? "chat.completion" : "text_completion");
        ObjectNode choice = choice(answer, reason(ended));
        if (chat) {
            choice.putObject("message").put("role", "assistant").put("content", text.toString());
        } else {
            choice.put("text", text.toString());
        }
        if (logProbabilities) {
            putLogProbabilities(choice, tokens);
        }
        putUsage(answer, ended);
        putRun(answer, ended);
        return answer;
    }

    // -------------------------------------------------------------------------------------------- parts

    private ObjectNode base(String object) {
        return JSON.createObjectNode()
                .put("id", id)
                .put("object", object)
                .put("created", createdSeconds)
                .put("model", accepted.model());
    }

    private static ObjectNode choice(ObjectNode answer, @Nullable String reason) {
        ObjectNode choice = answer.putArray("choices").addObject().put("index", 0);
        return choice.put("finish_reason", reason);
    }

    private static String reason(Local.GenerationNews.Ended ended) {
        return ended.stopped() ? "stop" : "length";
    }

    private static void addLogProbability(ArrayNode to, Local.GenerationNews.Piece piece) {
        ArrayNode top = putChance(to.addObject(), piece.chances().getFirst()).putArray("top_logprobs");
        piece.chances().stream().skip(1).forEach(chance -> putChance(top.addObject(), chance));
    }

    private static ObjectNode putChance(ObjectNode entry, Local.TokenChance chance) {
        entry.put("token", new String(chance.bytes(), StandardCharsets.UTF_8)).put("logprob", chance.logProbability());
        ArrayNode bytes = entry.putArray("bytes");
        for (byte value : chance.bytes()) {
            bytes.add(value & 0xFF);
        }
        return entry;
    }

    private void putLogProbabilities(ObjectNode choice, ArrayNode list) {
        ObjectNode logprobs = choice.putObject("logprobs");
        if (chat) {
            logprobs.set("content", list);
            return;
        }
        ArrayNode texts = logprobs.putArray("tokens");
        ArrayNode values = logprobs.putArray("token_logprobs");
        ArrayNode tops = logprobs.putArray("top_logprobs");
        list.forEach(token -> {
            texts.add(token.get("token"));
            values.add(token.get("logprob"));
            ObjectNode top = tops.addObject();
            token.get("top_logprobs")
                    .forEach(other -> top.set(other.get("token").asString(), other.get("logprob")));
        });
    }

    private void putUsage(ObjectNode answer, Local.GenerationNews.Ended ended) {
        answer.putObject("usage")
                .put("prompt_tokens", accepted.promptTokens())
                .put("completion_tokens", ended.tokens())
                .put("total_tokens", accepted.promptTokens() + ended.tokens());
    }

    private void putRun(ObjectNode answer, Local.GenerationNews.Ended ended) {
        ObjectNode run = answer.putObject("shoal");
        run.set("stages", stages(ended.stages()));
        run.put("recoveries", ended.recoveries());
        run.put("exact", ended.exact());
        run.put("first_token_ms", ended.firstTokenMicros() / 1000.0);
        run.put("total_ms", ended.totalMicros() / 1000.0);
    }

    private static ArrayNode stages(List<Local.StageRun> stages) {
        ArrayNode list = JSON.createArrayNode();
        for (Local.StageRun stage : stages) {
            ObjectNode entry = list.addObject().put("node", stage.node().toHex());
            entry.putArray("layers")
                    .add(stage.layers().first())
                    .add(stage.layers().last());
            entry.put("kernels", stage.kernels());
        }
        return list;
    }
}
