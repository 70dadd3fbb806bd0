package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Supplier;
import shoal.bridge.model.text.ChatTemplate;
import shoal.bridge.model.text.Detokenizer;
import shoal.bridge.model.text.StopTexts;
import shoal.bridge.model.text.Tokenizer;
import shoal.bridge.model.text.jinja.TemplateException;
import shoal.codec.command.Command;
import shoal.codec.command.CommandException;
import shoal.codec.command.Result;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.StreamKind;
import shoal.codec.wire.TokenLogprob;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.QuicEndpoint;
import tools.jackson.databind.json.JsonMapper;

/** Those who ask for text: programs by QUIC, machines by the event bus, and verticles of this process. */
final class Requests {
    /** How often other machines may take over during one answer. */
    private static final int MAX_RECOVERIES = 100;

    /** All who ask by envelope share as one. */
    private static final String BUS_USER = "bus";

    private final Vertx vertx;
    private final QuicEndpoint endpoint;
    private final CommandBus bus;
    private final Profile profile;
    private final Generations generations;
    private final Supplier<Serving> serving;
    private final Map<String, Long> byId = new HashMap<>();

    /** The model, and the machines that run it now. */
    record Serving(Model model, Pipeline pipeline) {}

    /** @param serving throws {@link CommandException} while the swarm is not ready */
    Requests(
            Vertx vertx,
            QuicEndpoint endpoint,
            CommandBus bus,
            Profile profile,
            Generations generations,
            Supplier<Serving> serving) {
        this.vertx = vertx;
        this.endpoint = endpoint;
        this.bus = bus;
        this.profile = profile;
        this.generations = generations;
        this.serving = serving;
    }

    void start() {
        endpoint.onStream(StreamKind.GENERATE, this::serve);
        bus.answerLocally(Addresses.GENERATE, Command.Generate.class, this::generate);
        bus.answerLocally(Addresses.START_GENERATION, Local.StartGeneration.class, this::startGeneration);
        bus.listen(Addresses.CANCEL_GENERATION, Local.CancelGeneration.class, cancelled -> {
            Long session = byId.get(cancelled.id());
            if (session != null) {
                generations.cancel(session);
            }
        });
    }

    private int context(Model model) {
        return model.contextLength(profile.compute().contextLength());
    }

    // ------------------------------------------------------------------------------------------- by QUIC

    private void tellPlan(FrameStream stream, Frame.AskPlan wish) {
        Integer sequences = wish.sequences() == Frame.AskPlan.AS_CONFIGURED ? null : wish.sequences();
        bus.ask(Addresses.PLAN, new Local.AskPlan(sequences), Local.PlanTold.class)
                .map(told -> new Frame.Plan(JsonMapper.shared().writeValueAsString(told.report())))
                .onSuccess(stream::send)
                .onFailure(failure -> stream.refuse(ErrorCode.NOT_READY, String.valueOf(failure.getMessage())));
    }

    private void serve(FrameStream stream) {
        stream.onFrame(frame -> {
            if (frame instanceof Frame.AskPlan wish) {
                tellPlan(stream, wish);
                return;
            }
            if (!(frame instanceof Frame.Generate request)) {
                stream.refuse(
                        ErrorCode.UNSUPPORTED, "a coordinator takes GENERATE and ASK_PLAN here, not " + frame.type());
                return;
            }
            long begun = System.nanoTime();
            Serving now;
            try {
                now = serving.get();
            } catch (CommandException notReady) {
                stream.refuse(ErrorCode.NOT_READY, String.valueOf(notReady.getMessage()));
                return;
            }
            Model model = now.model();
            vertx.executeBlocking(() -> model.tokens(
                            request.prompt(), true, request.maxTokens(), request.sampling(), context(model)))
                    .onFailure(failure -> stream.refuse(ErrorCode.CONTEXT, String.valueOf(failure.getMessage())))
                    .onSuccess(prompt -> {
                        stream.send(new Frame.GenerationStarted(
                                prompt, now.pipeline().entries()));
                        long id = generations.run(
                                model,
                                now.pipeline(),
                                prompt,
                                request.maxTokens(),
                                request.sampling(),
                                MAX_RECOVERIES,
                                stream.peer().id().toHex(),
                                new Streaming(stream, model, request.stop(), begun));
                        stream.onClose(() -> generations.cancel(id));
                    });
        });
    }

    /** When the first and the last token came. */
    private static final class Clock {
        private final long begunNanos;
        private long firstNanos;
        private long lastNanos;

        Clock(long begunNanos) {
            this.begunNanos = begunNanos;
        }

        void token() {
            lastNanos = System.nanoTime();
            if (firstNanos == 0) {
                firstNanos = lastNanos;
            }
        }

        long firstMicros() {
            return ((firstNanos == 0 ? System.nanoTime() : firstNanos) - begunNanos) / 1000;
        }

        long totalMicros() {
            return lastNanos == 0 ? firstMicros() : (lastNanos - begunNanos) / 1000;
        }
    }

    private static final class Streaming implements Generations.Listener {
        private final FrameStream stream;
        private final Detokenizer detokenizer;
        private final StopTexts stops;
        private final Clock clock;

        Streaming(FrameStream stream, Model model, List<String> stop, long begunNanos) {
            this.stream = stream;
            this.detokenizer = new Detokenizer(model.tokenizer(), true);
            this.stops = new StopTexts(stop);
            this.clock = new Clock(begunNanos);
        }

        @Override
        public boolean token(int token, float logProbability, List<TokenLogprob> top) {
            clock.token();
            stream.send(new Frame.GeneratedToken(token, stops.next(detokenizer.next(token)), logProbability, top));
            return stops.stopped();
        }

        @Override
        public void finished(Frame.StopReason reason) {
            String rest = stops.next(detokenizer.end()) + stops.end();
            stream.send(new Frame.GenerationDone(
                            stops.stopped() ? Frame.StopReason.STOP : reason,
                            rest,
                            clock.firstMicros(),
                            clock.totalMicros()))
                    .onSuccess(_ -> stream.end());
        }

        @Override
        public void failed(ErrorCode code, String message) {
            stream.refuse(code, message);
        }
    }

    // ------------------------------------------------------------------------------------- by the event bus

    /** GENERATE: the whole answer in one reply. */
    private Future<Result.Generated> generate(Command.Generate request) {
        Serving now = serving.get();
        Model model = now.model();
        return vertx.executeBlocking(() ->
                        model.tokens(request.prompt(), true, request.maxTokens(), request.sampling(), context(model)))
                .compose(prompt -> {
                    var whole = new Whole(model, prompt);
                    generations.run(
                            model,
                            now.pipeline(),
                            prompt,
                            request.maxTokens(),
                            request.sampling(),
                            MAX_RECOVERIES,
                            BUS_USER,
                            whole);
                    return whole.answered.future();
                });
    }

    private static final class Whole implements Generations.Listener {
        private final List<Integer> prompt;
        private final Detokenizer detokenizer;
        private final StringBuilder text = new StringBuilder();
        private final List<Integer> tokens = new ArrayList<>();
        private final Promise<Result.Generated> answered = Promise.promise();

        Whole(Model model, List<Integer> prompt) {
            this.prompt = prompt;
            detokenizer = new Detokenizer(model.tokenizer(), true);
        }

        @Override
        public boolean token(int token, float logProbability, List<TokenLogprob> top) {
            tokens.add(token);
            text.append(detokenizer.next(token));
            return false;
        }

        @Override
        public void finished(Frame.StopReason reason) {
            text.append(detokenizer.end());
            answered.tryComplete(new Result.Generated(
                    prompt, tokens, text.toString(), reason.name().toLowerCase(Locale.ROOT)));
        }

        @Override
        public void failed(ErrorCode code, String message) {
            answered.tryFail(new CommandException(message));
        }
    }

    // ------------------------------------------------------------------------------------ within the process

    private Future<Local.GenerationAccepted> startGeneration(Local.StartGeneration request) {
        long begun = System.nanoTime();
        Serving now = serving.get();
        Model model = now.model();
        int context = context(model);
        return vertx.executeBlocking(() -> tokens(model, request, context)).map(prompt -> {
            int most = request.maxTokens() == 0 ? context - prompt.size() : request.maxTokens();
            var told = new Told(request, now, new Clock(begun));
            byId.put(
                    request.id(),
                    generations.run(
                            model,
                            now.pipeline(),
                            prompt,
                            Math.min(most, Frame.Generate.MAX_TOKENS),
                            request.sampling(),
                            MAX_RECOVERIES,
                            request.user(),
                            told));
            return new Local.GenerationAccepted(model.name(), prompt.size());
        });
    }

    private static List<Integer> tokens(Model model, Local.StartGeneration request, int context) {
        int room = Math.max(1, request.maxTokens());
        return switch (request.prompt()) {
            case Local.Prompt.Text(String text) -> model.tokens(text, true, room, request.sampling(), context);
            case Local.Prompt.Chat chat -> {
                ChatTemplate template = model.template();
                if (template == null) {
                    throw new CommandException("the model " + model.name()
                            + " has no chat template that can be read; ask for a completion of a text instead");
                }
                try {
                    String prompt = template.render(chat.messages(), chat.tools(), true, chat.variables());
                    yield model.tokens(prompt, !model.beginsItself(prompt), room, request.sampling(), context);
                } catch (TemplateException failure) {
                    throw new CommandException("the model's chat template: " + failure.getMessage());
                }
            }
        };
    }

    /** Tells the pieces as news; ends the generation when a stop text comes. */
    private final class Told implements Generations.Listener {
        private final Local.StartGeneration request;
        private final Tokenizer tokenizer;
        private final Detokenizer detokenizer;
        private final StopTexts stops;
        private final Clock clock;
        private Pipeline pipeline;
        private boolean exact = true;
        private int recoveries;
        private int tokens;

        Told(Local.StartGeneration request, Serving now, Clock clock) {
            this.request = request;
            this.clock = clock;
            pipeline = now.pipeline();
            tokenizer = now.model().tokenizer();
            detokenizer = new Detokenizer(tokenizer, false);
            stops = new StopTexts(request.stop());
        }

        @Override
        public boolean token(int token, float logProbability, List<TokenLogprob> top) {
            clock.token();
            tokens++;
            tell(new Local.GenerationNews.Piece(
                    stops.next(detokenizer.next(token)),
                    request.chances() ? told(token, logProbability, top) : List.of()));
            return stops.stopped();
        }

        /** The token itself, then the likeliest ones. */
        private List<Local.TokenChance> told(int token, float logProbability, List<TokenLogprob> top) {
            var chances = new ArrayList<Local.TokenChance>();
            chances.add(new Local.TokenChance(token, tokenizer.bytes(token, true), logProbability));
            top.forEach(other -> chances.add(
                    new Local.TokenChance(other.token(), tokenizer.bytes(other.token(), true), other.logprob())));
            return chances;
        }

        @Override
        public void moved(Pipeline now, boolean isExact) {
            pipeline = now;
            exact = isExact;
            recoveries++;
        }

        @Override
        public void finished(Frame.StopReason reason) {
            byId.remove(request.id());
            String rest = stops.next(detokenizer.end()) + stops.end();
            boolean stopped = stops.stopped() || reason == Frame.StopReason.EOS;
            tell(new Local.GenerationNews.Ended(
                    rest,
                    stopped,
                    tokens,
                    clock.firstMicros(),
                    clock.totalMicros(),
                    pipeline.runs(),
                    recoveries,
                    exact));
        }

        @Override
        public void failed(ErrorCode code, String message) {
            byId.remove(request.id());
            tell(new Local.GenerationNews.Broken(code, message));
        }

        private void tell(Local.GenerationNews news) {
            bus.tell(Addresses.generation(request.id()), news);
        }
    }
}
