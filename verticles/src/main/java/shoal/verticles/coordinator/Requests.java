package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.bridge.model.text.ChatTemplate;
import shoal.bridge.model.text.Detokenizer;
import shoal.bridge.model.text.StopTexts;
import shoal.bridge.model.text.Tokenizer;
import shoal.bridge.model.text.jinja.TemplateException;
import shoal.codec.command.Command;
import shoal.codec.command.CommandException;
import shoal.codec.command.Result;
import shoal.codec.pipeline.Journal;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.SamplingState;
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
    private static final Logger LOG = LoggerFactory.getLogger(Requests.class);

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
    private final Journal journal;
    private final JournalDesk desk;
    private final Map<String, Long> byId = new HashMap<>();
    private final Map<String, Told> journalled = new HashMap<>();

    /** The model, and the machines that run it now. */
    record Serving(Model model, Pipeline pipeline) {}

    /** @param serving throws {@link CommandException} while the swarm is not ready */
    Requests(
            Vertx vertx,
            QuicEndpoint endpoint,
            CommandBus bus,
            Profile profile,
            Generations generations,
            Supplier<Serving> serving,
            Journal journal,
            JournalDesk desk) {
        this.vertx = vertx;
        this.endpoint = endpoint;
        this.bus = bus;
        this.profile = profile;
        this.generations = generations;
        this.serving = serving;
        this.journal = journal;
        this.desk = desk;
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
                                new StreamedAnswer(stream, model, request.stop(), begun));
                        stream.onClose(() -> generations.cancel(id));
                    });
        });
    }

    // ------------------------------------------------------------------------------------- by the event bus

    /** GENERATE: the whole answer in one reply. */
    private Future<Result.Generated> generate(Command.Generate request) {
        Serving now = serving.get();
        Model model = now.model();
        return vertx.executeBlocking(() ->
                        model.tokens(request.prompt(), true, request.maxTokens(), request.sampling(), context(model)))
                .compose(prompt -> {
                    var whole = new WholeAnswer(model, prompt);
                    generations.run(
                            model,
                            now.pipeline(),
                            prompt,
                            request.maxTokens(),
                            request.sampling(),
                            MAX_RECOVERIES,
                            BUS_USER,
                            whole);
                    return whole.answered();
                });
    }

    // ------------------------------------------------------------------------------------ within the process

    private Future<Local.GenerationAccepted> startGeneration(Local.StartGeneration request) {
        long begun = System.nanoTime();
        Serving now = serving.get();
        Model model = now.model();
        int context = context(model);
        return vertx.executeBlocking(() -> tokens(model, request, context)).map(prompt -> {
            int most = request.maxTokens() == 0 ? context - prompt.size() : request.maxTokens();
            int tokens = Math.min(most, Frame.Generate.MAX_TOKENS);
            var told = new Told(request, now, new AnswerClock(begun), begin(request, prompt, tokens));
            byId.put(
                    request.id(),
                    generations.run(
                            model,
                            now.pipeline(),
                            prompt,
                            tokens,
                            request.sampling(),
                            MAX_RECOVERIES,
                            request.user(),
                            told));
            return new Local.GenerationAccepted(model.name(), prompt.size());
        });
    }

    /** @return whether others may go on with it */
    private boolean begin(Local.StartGeneration request, List<Integer> prompt, int maxTokens) {
        String form = request.form();
        if (form == null || !journal.hasRoom(prompt.size(), maxTokens)) {
            return false;
        }
        desk.write(new Frame.JournalBegun(
                request.id(),
                form,
                request.user(),
                prompt,
                maxTokens,
                request.sampling(),
                request.stop(),
                request.chances()));
        return true;
    }

    /** An answer must end here: what this coordinator would tell might differ from what another one tells. */
    void giveUp(String id) {
        Told told = journalled.remove(id);
        if (told != null) {
            told.giveUp(
                    "machines took over that compute other bits, while a coordinator that stands by is cut off; ask again");
        }
        Long session = byId.remove(id);
        if (session != null) {
            generations.cancel(session);
        }
    }

    /** An answer that another coordinator began: what there is of it is told once more, then it goes on. */
    void goOn(Journal.Answer answer, Serving now) {
        Frame.JournalBegun begun = answer.begun();
        var accepted =
                new Local.GenerationAccepted(now.model().name(), begun.prompt().size());
        bus.ask(
                        Addresses.GENERATION_INHERITED,
                        new Local.GenerationInherited(begun.id(), begun.form(), accepted),
                        Boolean.class)
                .onSuccess(_ -> goOnTold(answer, now))
                .onFailure(failure -> {
                    LOG.warn("answer {} is not gone on with: {}", begun.id(), failure.getMessage());
                    desk.forget(begun.id());
                });
    }

    private void goOnTold(Journal.Answer answer, Serving now) {
        Frame.JournalBegun begun = answer.begun();
        var request = new Local.StartGeneration(
                begun.id(),
                new Local.Prompt.Text(""),
                begun.maxTokens(),
                begun.sampling(),
                begun.stop(),
                begun.chances(),
                begun.user(),
                begun.form());
        var told = new Told(request, now, new AnswerClock(System.nanoTime()), true);
        told.moved(now.pipeline(), answer.isExact());
        var tokens = new ArrayList<>(begun.prompt());
        SamplingState state = SamplingState.START;
        for (Frame.JournalToken token : answer.tokens()) {
            tokens.add(token.token());
            state = token.state();
            if (told.say(token.token(), token.logProbability(), token.top())) {
                told.finished(Frame.StopReason.STOP);
                return;
            }
        }
        Frame.JournalEnded ended = answer.ended();
        if (ended != null || tokens.size() - begun.prompt().size() >= begun.maxTokens()) {
            told.finished(ended == null ? Frame.StopReason.LENGTH : ended.reason());
            return;
        }
        byId.put(
                begun.id(),
                generations.goOn(
                        now.model(),
                        now.pipeline(),
                        tokens,
                        begun.prompt().size(),
                        state,
                        begun.maxTokens(),
                        begun.sampling(),
                        MAX_RECOVERIES,
                        begun.user(),
                        told));
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
        private final AnswerClock clock;
        private Pipeline pipeline;
        private boolean exact = true;
        private int recoveries;
        private int tokens;
        private SamplingState state = SamplingState.START;
        private final boolean inJournal;
        private boolean over;
        private boolean broken;

        /** @param inJournal whether others are told of it, who may go on with it */
        Told(Local.StartGeneration request, Serving now, AnswerClock clock, boolean inJournal) {
            this.request = request;
            this.clock = clock;
            this.inJournal = inJournal;
            if (inJournal) {
                journalled.put(request.id(), this);
            }
            pipeline = now.pipeline();
            tokenizer = now.model().tokenizer();
            detokenizer = new Detokenizer(tokenizer, false);
            stops = new StopTexts(request.stop());
        }

        @Override
        public void state(SamplingState next) {
            state = next;
        }

        @Override
        public boolean token(int token, float logProbability, List<TokenLogprob> top) {
            if (over) {
                return true;
            }
            if (inJournal) {
                desk.write(new Frame.JournalToken(request.id(), token, logProbability, top, state));
            }
            return say(token, logProbability, top);
        }

        boolean say(int token, float logProbability, List<TokenLogprob> top) {
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
            exact &= isExact;
            recoveries++;
        }

        @Override
        public void finished(Frame.StopReason reason) {
            if (!end()) {
                return;
            }
            if (inJournal) {
                desk.end(request.id(), reason);
            }
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
            if (end()) {
                broken = true;
                if (inJournal) {
                    desk.forget(request.id());
                }
                bus.tell(Addresses.generation(request.id()), new Local.GenerationNews.Broken(code, message));
            }
        }

        /** Nothing more of it is told, not even what is only waiting to be. */
        void giveUp(String message) {
            over = true;
            broken = true;
            desk.forget(request.id());
            bus.tell(Addresses.generation(request.id()), new Local.GenerationNews.Broken(ErrorCode.LOST, message));
        }

        private boolean end() {
            boolean isFirst = !over;
            over = true;
            byId.remove(request.id());
            if (inJournal) {
                desk.whenHeard(() -> journalled.remove(request.id(), this));
            }
            return isFirst;
        }

        /** What others may go on with is told once they have it, unless the answer broke meanwhile. */
        private void tell(Local.GenerationNews news) {
            if (inJournal) {
                desk.whenHeard(() -> {
                    if (!broken) {
                        bus.tell(Addresses.generation(request.id()), news);
                    }
                });
            } else {
                bus.tell(Addresses.generation(request.id()), news);
            }
        }
    }
}
