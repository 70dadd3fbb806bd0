package shoal.verticles.cli;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneId;
import java.time.format.DateTimeParseException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.text.ChatTemplate;
import shoal.bridge.model.text.jinja.TemplateException;
import shoal.codec.base.MalformedException;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.json.JsonMapper;

/** Shows the prompt that a chat template makes of a conversation. */
@Command(
        name = "apply-template",
        description = "Print the prompt that a chat template makes of a conversation.",
        mixinStandardHelpOptions = true)
final class ApplyTemplateCommand implements Callable<Integer> {
    @ArgGroup(multiplicity = "1")
    @SuppressWarnings("NullAway.Init")
    private From from;

    /** One of the two. */
    static final class From {
        @Option(names = "--model", paramLabel = "FILE", description = "A GGUF file, whose own template is taken.")
        private @Nullable Path model;

        @Option(names = "--template", paramLabel = "FILE", description = "A file with a Jinja template.")
        private @Nullable Path template;
    }

    @Option(
            names = "--input",
            required = true,
            paramLabel = "FILE",
            description = "A JSON object with messages, tools, add_generation_prompt and further variables; now"
                    + " (2025-01-31T12:00:00) fixes the date that templates print.")
    @SuppressWarnings("NullAway.Init")
    private Path input;

    @Option(names = "--json", description = "Print {\"prompt\":…} instead of the prompt.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        Map<String, @Nullable Object> variables = variables();
        Object messages = variables.remove("messages");
        Object tools = variables.remove("tools");
        Object generates = variables.remove("add_generation_prompt");
        LocalDateTime now = now(variables.remove("now"));
        if (!(messages instanceof List<?> list)) {
            throw wrong("has no list 'messages'");
        }
        if (tools != null && !(tools instanceof List<?>)) {
            throw wrong("has 'tools' that are no list");
        }
        if (generates != null && !(generates instanceof Boolean)) {
            throw wrong("has an 'add_generation_prompt' that is neither true nor false");
        }
        String prompt;
        try {
            prompt = template().render(list, (List<?>) tools, Boolean.TRUE.equals(generates), variables, now);
        } catch (TemplateException failure) {
            throw inFile(failure);
        }
        var out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        if (json) {
            out.println(JsonMapper.shared().writeValueAsString(Map.of("prompt", prompt)));
        } else {
            out.print(prompt); // byte for byte: no new line of ours
            out.flush();
        }
        return CommandLine.ExitCode.OK;
    }

    private ChatTemplate template() throws IOException {
        try {
            if (from.template != null) {
                return ChatTemplate.of(Files.readString(from.template));
            }
            try (ModelFile file = ModelFile.open(java.util.Objects.requireNonNull(from.model))) {
                return ChatTemplate.of(file.header());
            }
        } catch (TemplateException failure) {
            throw inFile(failure);
        } catch (MalformedException failure) {
            throw from.model == null ? failure : LocalModel.inFile(from.model, failure);
        }
    }

    private MalformedException inFile(TemplateException failure) {
        Path file = from.template != null ? from.template : java.util.Objects.requireNonNull(from.model);
        return LocalModel.inFile(file, failure);
    }

    @SuppressWarnings("unchecked") // JSON objects have texts as keys
    private Map<String, @Nullable Object> variables() throws IOException {
        try {
            Object read = JsonMapper.shared().readValue(Files.readString(input), Object.class);
            if (read instanceof Map<?, ?> map) {
                return new LinkedHashMap<>((Map<String, @Nullable Object>) map);
            }
        } catch (JacksonException noJson) {
            throw wrong("is no JSON: " + noJson.getOriginalMessage());
        } catch (java.nio.charset.MalformedInputException noText) {
            throw wrong("is no UTF-8");
        }
        throw wrong("is no JSON object");
    }

    private LocalDateTime now(@Nullable Object given) {
        if (given == null) {
            return LocalDateTime.now(ZoneId.systemDefault());
        }
        if (given instanceof String text) {
            try {
                return text.length() == 10 ? LocalDateTime.parse(text + "T00:00:00") : LocalDateTime.parse(text);
            } catch (DateTimeParseException otherForm) {
                try {
                    return OffsetDateTime.parse(text).toLocalDateTime();
                } catch (DateTimeParseException wrongForm) {
                    throw wrong("has 'now' as '" + text + "', expected a date like 2025-01-31T12:00:00");
                }
            }
        }
        throw wrong("has a 'now' that is no text like 2025-01-31T12:00:00");
    }

    private MalformedException wrong(String what) {
        return new MalformedException(input + " " + what);
    }
}
