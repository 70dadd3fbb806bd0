package shoal.bridge.model.text.jinja;

import java.time.LocalDateTime;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A template that was read, in the dialect that chat templates are written for: Jinja 3.1 in its immutable sandbox with trim_blocks
 * and lstrip_blocks, loop controls, generation blocks, raise_exception, strftime_now, and tojson as json.dumps. Immutable; any number
 * of threads. What a template may use of time, depth and memory is bounded ({@link Budget}).
 */
public final class Template {
    private final List<Node.Statement> statements;

    private Template(List<Node.Statement> statements) {
        this.statements = statements;
    }

    /** @throws TemplateException if it is no template, with the line */
    public static Template parse(String source) {
        return new Template(Parser.parse(source));
    }

    /**
     * @param variables nulls, texts, numbers, truth values, and lists and maps of them; the order of maps shows
     * @param now what strftime_now prints
     * @throws TemplateException if the template fails or refuses the input
     */
    public String render(Map<String, ? extends @Nullable Object> variables, LocalDateTime now) {
        Map<String, Value> values = new HashMap<>();
        for (Map.Entry<String, ? extends @Nullable Object> variable : variables.entrySet()) {
            values.put(variable.getKey(), Value.of(variable.getValue()));
        }
        return new Interpreter(now).render(statements, values);
    }
}
