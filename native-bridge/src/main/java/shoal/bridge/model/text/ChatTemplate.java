package shoal.bridge.model.text;

import java.time.LocalDateTime;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.bridge.model.text.jinja.Template;
import shoal.bridge.model.text.jinja.TemplateException;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.Gguf;

/**
 * Makes the prompt of a conversation with the template that comes with the model (key tokenizer.chat_template). Immutable; any number
 * of threads.
 */
public final class ChatTemplate {
    private static final List<String> SPECIAL = List.of("bos", "eos", "unknown", "seperator", "padding", "cls", "mask");
    private static final Map<String, String> NAMES = Map.of("unknown", "unk", "seperator", "sep", "padding", "pad");

    private final Template template;
    private final Map<String, String> specialTokens;

    private ChatTemplate(Template template, Map<String, String> specialTokens) {
        this.template = template;
        this.specialTokens = specialTokens;
    }

    /**
     * Reads metadata alone; a vocabulary file will do. The template knows the model's special tokens as bos_token, eos_token and so on.
     * @throws MalformedException if there is no template
     * @throws TemplateException if it cannot be read
     */
    public static ChatTemplate of(Gguf header) {
        String source = header.text("tokenizer.chat_template");
        if (source == null) {
            throw new MalformedException("the model has no chat template (tokenizer.chat_template)");
        }
        return of(header, source);
    }

    /** Another template for a model, whose special tokens it knows. @throws TemplateException if it cannot be read */
    public static ChatTemplate of(Gguf header, String source) {
        String[] tokens = header.texts("tokenizer.ggml.tokens");
        Map<String, String> special = new HashMap<>();
        for (String name : SPECIAL) {
            int id = header.intValue("tokenizer.ggml." + name + "_token_id", -1);
            if (tokens != null && id >= 0 && id < tokens.length) {
                special.put(NAMES.getOrDefault(name, name) + "_token", tokens[id]);
            }
        }
        return new ChatTemplate(Template.parse(source), special);
    }

    /** A template by itself, which knows no special tokens but those given when it is rendered. @throws TemplateException if it cannot be read */
    public static ChatTemplate of(String source) {
        return new ChatTemplate(Template.parse(source), Map.of());
    }

    /** At this time; the other method's words hold. */
    public String render(
            List<?> messages,
            @Nullable List<?> tools,
            boolean addGenerationPrompt,
            Map<String, ? extends @Nullable Object> extra) {
        return render(messages, tools, addGenerationPrompt, extra, LocalDateTime.now(java.time.ZoneId.systemDefault()));
    }

    /**
     * The prompt. Messages, tools and extra are made of nulls, texts, numbers, truth values, lists and maps with texts as keys, as a
     * JSON reader gives them; the order of maps shows.
     * @param extra further variables, before which the special tokens and "documents" stand back
     * @param now the date that templates print
     * @throws TemplateException if the template fails, or refuses the conversation (then {@link TemplateException#raisedByTemplate})
     */
    public String render(
            List<?> messages,
            @Nullable List<?> tools,
            boolean addGenerationPrompt,
            Map<String, ? extends @Nullable Object> extra,
            LocalDateTime now) {
        Map<String, @Nullable Object> variables = new HashMap<>(specialTokens);
        variables.put("documents", null);
        variables.put("messages", messages);
        variables.put("tools", tools);
        variables.put("add_generation_prompt", addGenerationPrompt);
        variables.putAll(extra);
        return template.render(variables, now);
    }
}
