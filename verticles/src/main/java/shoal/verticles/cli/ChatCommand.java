package shoal.verticles.cli;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import shoal.bridge.generate.Drafter;
import shoal.bridge.generate.Generation;
import shoal.bridge.generate.GenerationRequest;
import shoal.bridge.generate.LocalGenerator;
import shoal.bridge.model.text.jinja.TemplateException;
import shoal.codec.wire.Sampling;
import shoal.verticles.launcher.Signals;
import tools.jackson.databind.json.JsonMapper;

/** A conversation in the terminal, with a model file in this process. */
@Command(
        name = "chat",
        description = "Talk with a model in the terminal. Ctrl-C stops a reply, Ctrl-D or /quit ends.",
        mixinStandardHelpOptions = true)
final class ChatCommand implements Callable<Integer> {
    private static final String HELP = """
            /help            this
            /reset           forget the conversation
            /undo            forget the last question and its answer
            /again           answer the last question once more, with another seed
            /history         show the conversation
            /system TEXT     set what the model is told before all, and reset
            /quit            end (Ctrl-D does so too)
            A line that ends with \\ goes on in the next one. Three quotes \"""
            begin and end a message of several lines. The arrows call back and edit
            what was typed, the tabulator completes commands. Ctrl-C stops a reply.""";

    private static final List<String> COMMANDS =
            List.of("/help", "/reset", "/undo", "/again", "/history", "/system", "/quit");

    @Option(names = "--model", required = true, paramLabel = "FILE", description = "A GGUF file.")
    @SuppressWarnings("NullAway.Init")
    private Path model;

    @Option(
            names = "--template",
            paramLabel = "FILE",
            description = "A Jinja chat template, instead of the model's own.")
    private @Nullable Path template;

    @Option(names = "--system", paramLabel = "TEXT", description = "What the model is told before all.")
    private @Nullable String system;

    @Option(
            names = "--tokens",
            defaultValue = "2048",
            paramLabel = "N",
            description = "How many tokens a reply has at most (default: ${DEFAULT-VALUE}).")
    private int tokens;

    @Option(names = "--stop", paramLabel = "TEXT", description = "End a reply before this text; may be given again.")
    private @Nullable List<String> stop;

    @Mixin
    @SuppressWarnings("NullAway.Init")
    private SamplingOptions samplingOptions;

    @Mixin
    @SuppressWarnings("NullAway.Init")
    private DraftOptions draftOptions;

    @Mixin
    @SuppressWarnings("NullAway.Init")
    private ComputeOptions computeOptions;

    @Option(names = "--json", description = "Print one JSON object for each reply, and nothing else.")
    private boolean json;

    private final AtomicBoolean interrupted = new AtomicBoolean();
    private final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    @Override
    public Integer call() throws IOException {
        if (tokens < 1) {
            throw new IllegalArgumentException("--tokens is " + tokens + ", allowed are 1 or more");
        }
        Sampling sampling = samplingOptions.sampling();
        String source = template == null ? null : Files.readString(template);
        try (LocalModel local = computeOptions.open(model, tokens);
                Drafter drafter =
                        draftOptions.open(local, sampling, computeOptions.provider(), computeOptions.threads());
                LocalGenerator.Context context = local.generator().openContext()) {
            ChatPrompt prompt;
            try {
                prompt = ChatPrompt.of(local.header(), source);
            } catch (RuntimeException failure) {
                throw LocalModel.inFile(template == null ? model : template, failure);
            }
            boolean handled = Signals.on("INT", () -> interrupted.set(true));
            if (!json) {
                System.err.println("/help tells what there is; "
                        + (handled ? "Ctrl-C stops a reply, " : "")
                        + "Ctrl-D or /quit ends.");
            }
            var conversation = new Conversation(local.generator(), context, prompt, sampling, drafter);
            try (ChatInput in = ChatInput.open(COMMANDS)) {
                converse(conversation, in);
            }
        }
        return CommandLine.ExitCode.OK;
    }

    private void converse(Conversation conversation, ChatInput in) throws IOException {
        conversation.reset();
        while (true) {
            String message = message(in);
            if (message == null) {
                if (!json) {
                    out.println();
                }
                return;
            }
            String word = message.strip().split("\\s+", 2)[0];
            if (message.isBlank()) {
                continue;
            }
            if (!word.startsWith("/")) {
                conversation.ask(message);
                continue;
            }
            switch (word) {
                case "/quit", "/exit" -> {
                    return;
                }
                case "/help" -> System.err.println(HELP);
                case "/reset" -> conversation.reset();
                case "/undo" -> conversation.undo();
                case "/again" -> conversation.again();
                case "/history" -> conversation.show();
                case "/system" -> {
                    String text = message.strip().substring(word.length()).strip();
                    system = text.isEmpty() ? null : text;
                    conversation.reset();
                }
                default -> System.err.println("There is no " + word + "; /help tells what there is.");
            }
        }
    }

    /** One message of one line or several; null at the end of the input. */
    private @Nullable String message(ChatInput in) throws IOException {
        String line = in.line("> ");
        if (line == null) {
            return null;
        }
        var text = new StringBuilder();
        if (line.strip().startsWith("\"\"\"")) {
            String rest = line.strip().substring(3);
            while (!rest.stripTrailing().endsWith("\"\"\"")) {
                text.append(rest).append('\n');
                String next = in.line("… ");
                if (next == null) {
                    return text.toString().strip();
                }
                rest = next;
            }
            String last = rest.stripTrailing();
            return text.append(last, 0, last.length() - 3).toString().strip();
        }
        while (line.endsWith("\\")) {
            text.append(line, 0, line.length() - 1).append('\n');
            String next = in.line("… ");
            if (next == null) {
                return text.toString();
            }
            line = next;
        }
        return text.append(line).toString();
    }

    /** What was said, and what the model made of it. */
    private final class Conversation {
        private final LocalGenerator generator;
        private final LocalGenerator.Context context;
        private final ChatPrompt prompt;
        private final Sampling sampling;
        private final @Nullable Drafter drafter;
        private final List<Map<String, Object>> messages = new ArrayList<>();
        private long seed;

        Conversation(
                LocalGenerator generator,
                LocalGenerator.Context context,
                ChatPrompt prompt,
                Sampling sampling,
                @Nullable Drafter drafter) {
            this.generator = generator;
            this.context = context;
            this.prompt = prompt;
            this.sampling = sampling;
            this.drafter = drafter;
            this.seed = sampling.seed();
        }

        void reset() {
            messages.clear();
            if (system != null) {
                messages.add(ChatPrompt.message("system", system));
            }
        }

        void undo() {
            if (!messages.isEmpty() && role(messages.getLast()).equals("assistant")) {
                messages.removeLast();
            }
            if (!messages.isEmpty() && role(messages.getLast()).equals("user")) {
                messages.removeLast();
            }
        }

        void again() {
            if (!messages.isEmpty() && role(messages.getLast()).equals("assistant")) {
                messages.removeLast();
            }
            if (messages.isEmpty() || !role(messages.getLast()).equals("user")) {
                System.err.println("There is no question yet.");
                return;
            }
            seed++;
            String question = String.valueOf(messages.removeLast().get("content"));
            ask(question);
        }

        void show() {
            messages.forEach(message -> System.err.println(role(message) + ": " + message.get("content")));
        }

        private static String role(Map<String, Object> message) {
            return String.valueOf(message.get("role"));
        }

        void ask(String question) {
            messages.add(ChatPrompt.message("user", question));
            try {
                int[] ids = prompt.tokens(generator.tokenizer(), messages);
                int room = generator.contextLength() - ids.length;
                if (room < 1) {
                    throw new IllegalArgumentException("the conversation has " + ids.length
                            + " tokens, but the context length is " + generator.contextLength()
                            + "; /reset forgets it, /undo the last question");
                }
                answer(ids, room);
            } catch (TemplateException | IllegalArgumentException | IllegalStateException failure) {
                messages.removeLast(); // the question: it can be asked otherwise
                System.err.println("shoal: " + failure.getMessage());
            }
        }

        private void answer(int[] ids, int room) {
            var shown = new StringBuilder();
            var request = new GenerationRequest(
                    ids,
                    Math.min(tokens, room),
                    sampling.withSeed(seed),
                    stop == null ? List.of() : stop,
                    drafter,
                    false);
            interrupted.set(false);
            Generation generation = generator.generate(request, context, new LocalGenerator.Listener() {
                @Override
                public void token(LocalGenerator.Token token) {
                    shown.append(token.text());
                    print(token.text());
                }

                @Override
                public boolean wantsMore() {
                    return !interrupted.get();
                }
            });
            print(generation.text().substring(shown.length()));
            messages.add(ChatPrompt.message("assistant", generation.text()));
            tell(generation, room);
        }

        private void print(String text) {
            if (!json) {
                out.print(text);
                out.flush();
            }
        }

        private void tell(Generation generation, int room) {
            if (json) {
                Map<String, Object> reply = new LinkedHashMap<>(messages.getLast());
                reply.put("prompt_tokens", generation.promptTokens().size());
                reply.put("tokens", generation.tokens().size());
                reply.put("stopped", generation.stop().name().toLowerCase(Locale.ROOT));
                out.println(JsonMapper.shared().writeValueAsString(reply));
                return;
            }
            out.println();
            switch (generation.stop()) {
                case EOS, STOP -> {}
                case CANCELLED -> System.err.println("(stopped)");
                case LENGTH ->
                    System.err.println(
                            generation.tokens().size() == room
                                    ? "(the context of " + generator.contextLength()
                                            + " tokens is full; /reset begins anew)"
                                    : "(ended at " + generation.tokens().size() + " tokens; --tokens allows more)");
            }
        }
    }
}
