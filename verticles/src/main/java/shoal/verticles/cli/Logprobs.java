package shoal.verticles.cli;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.bridge.model.text.Tokenizer;
import shoal.codec.wire.TokenLogprob;

/** Log probabilities as JSON: of the model's own distribution, before any sampling option, as OpenAI's API has them. */
final class Logprobs {
    private Logprobs() {}

    /** @param tokenizer tells texts and bytes; null if they are not known here */
    static Map<String, Object> entry(@Nullable Tokenizer tokenizer, int token, float logprob, List<TokenLogprob> top) {
        Map<String, Object> entry = one(tokenizer, token, logprob);
        List<Object> others = new ArrayList<>();
        top.forEach(other -> others.add(one(tokenizer, other.token(), other.logprob())));
        entry.put("top", others);
        return entry;
    }

    private static Map<String, Object> one(@Nullable Tokenizer tokenizer, int token, float logprob) {
        Map<String, Object> entry = new LinkedHashMap<>();
        entry.put("id", token);
        if (tokenizer != null) {
            byte[] bytes = tokenizer.bytes(token, true);
            entry.put("token", new String(bytes, StandardCharsets.UTF_8));
            List<Integer> numbers = new ArrayList<>();
            for (byte value : bytes) {
                numbers.add(value & 0xFF);
            }
            entry.put("bytes", numbers);
        }
        entry.put("logprob", logprob);
        return entry;
    }
}
