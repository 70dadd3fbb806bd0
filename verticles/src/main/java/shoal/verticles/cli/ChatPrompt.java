package shoal.verticles.cli;

import java.time.LocalDateTime;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.bridge.model.text.ChatTemplate;
import shoal.bridge.model.text.Tokenizer;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.Gguf;

/** A conversation as a prompt, by the model's chat template or another one. */
final class ChatPrompt {
    private final ChatTemplate template;

    private ChatPrompt(ChatTemplate template) {
        this.template = template;
    }

    /**
     * @param source a template that is taken instead of the model's own; null for that
     * @throws MalformedException if there is none, saying what to do
     */
    static ChatPrompt of(Gguf header, @Nullable String source) {
        if (source != null) {
            return new ChatPrompt(ChatTemplate.of(header, source));
        }
        if (header.text("tokenizer.chat_template") == null) {
            throw new MalformedException("the model has no chat template, so it is probably not made for conversations;"
                    + " give one with --template FILE, or go on with a plain text with 'shoal generate'");
        }
        return new ChatPrompt(ChatTemplate.of(header));
    }

    static Map<String, Object> message(String role, String content) {
        Map<String, Object> message = new LinkedHashMap<>();
        message.put("role", role);
        message.put("content", content);
        return message;
    }

    /** The prompt's text, for the model to answer. */
    String text(List<Map<String, Object>> messages) {
        return template.render(messages, null, true, Map.of(), LocalDateTime.now(java.time.ZoneId.systemDefault()));
    }

    /** The prompt's tokens. Templates write the token that begins a text themselves, so that it is not put before them once more. */
    int[] tokens(Tokenizer tokenizer, List<Map<String, Object>> messages) {
        String text = text(messages);
        int[] plain = tokenizer.encode(text, false, true);
        boolean begun = plain.length > 0 && plain[0] == tokenizer.beginOfText();
        if (begun) {
            return plain;
        }
        int[] whole = tokenizer.encode(text, true, true);
        // what the model's rule puts at the beginning, but not what it would put at the end: the answer goes there
        boolean begins = whole.length > 0 && whole[0] == tokenizer.beginOfText();
        if (!begins) {
            return plain;
        }
        int[] result = new int[plain.length + 1];
        result[0] = whole[0];
        System.arraycopy(plain, 0, result, 1, plain.length);
        return result;
    }
}
