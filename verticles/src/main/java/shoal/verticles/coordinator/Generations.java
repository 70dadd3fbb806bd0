package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.WeakHashMap;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Contact;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;
import shoal.codec.command.Result;
import shoal.codec.pipeline.Scheduler;
import shoal.codec.wire.ActivationType;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SamplingState;
import shoal.codec.wire.StreamKind;
import shoal.codec.wire.TokenLogprob;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.PeerConnection;
import shoal.verticles.quic.QuicEndpoint;

/**
 * All generations: one scheduler for each model that is served, and one for each pipeline that is tried before it is used. One event
 * loop.
 */
final class Generations implements Served.Wires {
    private static final Logger LOG = LoggerFactory.getLogger(Generations.class);
    private static final Duration ASK_TIMEOUT = Duration.ofSeconds(10);
    private static final Duration STALL = Duration.ofSeconds(60);

    /** Generations that are over and whose keys and values stay for those who begin alike. */
    private static final int MAX_KEPT = 16;

    private final Vertx vertx;
    private final QuicEndpoint endpoint;
    private final Commands commands;
    private final Profile profile;
    private final Consumer<Pipeline> trouble;
    private final SecureRandom random = new SecureRandom();
    private final Map<String, Served> models = new HashMap<>();
    private final List<Served> trials = new ArrayList<>();
    private final Map<Pipeline, Model> tried = new WeakHashMap<>();
    private final Map<NodeId, Future<FrameStream>> ways = new HashMap<>();
    private final Paces paces;
    private Course course = new Course() {};
    private int term = 1;

    /** Who hears of the course of things that concerns all generations. */
    interface Course {
        /** These compute for a model from here on. @param order of their sums: alike means the same bits */
        default void placed(Pipeline now, String order) {}

        /** A node works for another coordinator under this term. */
        default void outranked(int by) {}
    }

    /** Who hears a generation. */
    interface Listener {
        /** With what the token behind the next one is chosen; told before each. */
        default void state(SamplingState next) {}

        /** @return whether that is all that is wanted */
        boolean token(int token, float logProbability, List<TokenLogprob> top);

        /**
         * Other machines took over from here on.
         *
         * @param exact whether all that computed for it so far compute the same bits
         */
        default void moved(Pipeline now, boolean exact) {}

        void finished(Frame.StopReason reason);

        void failed(ErrorCode code, String message);
    }

    /**
     * @param trouble told when a pipeline seems to have lost a stage
     * @param slow told of a node that has become slow
     */
    Generations(
            Vertx vertx,
            QuicEndpoint endpoint,
            Commands commands,
            Profile profile,
            Consumer<Pipeline> trouble,
            Consumer<NodeId> slow) {
        this.vertx = vertx;
        this.endpoint = endpoint;
        this.commands = commands;
        this.profile = profile;
        this.trouble = trouble;
        this.paces = new Paces(slow);
        endpoint.onStream(StreamKind.STAGE, this::hear);
        endpoint.onPeerLost(this::lost);
    }

    void listen(Course listener) {
        course = listener;
    }

    /** Under which this coordinator works from now on. */
    void work(int underTerm) {
        term = underTerm;
    }

    /** All that runs fails, and the stages may forget it. */
    void end(ErrorCode code, String message) {
        var ending = all();
        models.clear();
        trials.clear();
        ending.forEach(served -> served.close(code, message));
    }

    /** Generations that run or wait. */
    int running() {
        return models.values().stream().mapToInt(Served::generations).sum();
    }

    /** What the stages of each model have done so far. */
    List<Local.ModelWork> work() {
        return models.values().stream().map(Served::work).toList();
    }

    /** The scheduler of a model, or null before it is served. */
    @Nullable Scheduler scheduler(Model model) {
        Served served = models.get(model.name());
        return served == null ? null : served.scheduler();
    }

    /**
     * Starts a generation; returns its session. Through a pipeline that is not in use yet it is a trial, with nobody beside it.
     *
     * @param recoveries how often other machines may take over
     * @param user generations of one user share what others leave
     */
    long run(
            Model model,
            Pipeline through,
            List<Integer> prompt,
            int maxTokens,
            Sampling sampling,
            int recoveries,
            String user,
            Listener listener) {
        return goOn(
                model,
                through,
                prompt,
                prompt.size(),
                SamplingState.START,
                maxTokens,
                sampling,
                recoveries,
                user,
                listener);
    }

    /**
     * Goes on with a generation of which there are tokens already, as {@link #run} else.
     *
     * @param tokens of the prompt, and those behind it
     * @param state with which the next one is chosen
     */
    long goOn(
            Model model,
            Pipeline through,
            List<Integer> tokens,
            int promptSize,
            SamplingState state,
            int maxTokens,
            Sampling sampling,
            int recoveries,
            String user,
            Listener listener) {
        long id = nextNumber();
        var request = new Scheduler.Request(
                id,
                tokens,
                promptSize,
                state,
                maxTokens,
                model.tokenizer().endOfGeneration(),
                sampling,
                recoveries,
                user);
        Served served = models.get(model.name());
        if (served != null && through.epoch().compareTo(served.pipeline().epoch()) <= 0) {
            served.submit(request, listener);
        } else {
            tryOut(model, through, request, listener);
        }
        return id;
    }

    private long nextNumber() {
        long number = random.nextLong();
        return number == 0 ? 1 : number;
    }

    private void tryOut(Model model, Pipeline through, Scheduler.Request request, Listener listener) {
        tried.put(through, model);
        Served trial = served(model, through);
        trials.add(trial);
        trial.submit(request, new Listener() {
            @Override
            public void state(SamplingState next) {
                listener.state(next);
            }

            @Override
            public boolean token(int token, float logProbability, List<TokenLogprob> top) {
                return listener.token(token, logProbability, top);
            }

            @Override
            public void finished(Frame.StopReason reason) {
                end(trial, "it is over");
                listener.finished(reason);
            }

            @Override
            public void failed(ErrorCode code, String message) {
                end(trial, message);
                listener.failed(code, message);
            }
        });
        trial.move(through);
    }

    private void end(Served trial, String message) {
        if (trials.remove(trial)) {
            vertx.runOnContext(_ -> trial.close(ErrorCode.LOST, message));
        }
    }

    private Served served(Model model, Pipeline through) {
        Profile.Coordinator bounds = profile.coordinator();
        var settings = new Scheduler.Settings(
                Math.max(0, model.tokenizer().beginOfText()), bounds.sequences(), bounds.queue(), MAX_KEPT, STALL);
        return new Served(vertx, this, nextNumber(), model, through, settings, this::troubled);
    }

    /** A pipeline in use loses what it has: what runs waits until {@link #resume}. */
    private void troubled(Served served, Pipeline through, String message) {
        if (trials.remove(served)) {
            served.close(ErrorCode.LOST, message);
        } else {
            LOG.warn("{}: {}", served.model().name(), message);
            served.lost(message);
            trouble.accept(through);
        }
    }

    /** Whatever runs through a pipeline that lost a stage waits until {@link #resume}. */
    void suspend(Pipeline before, String message) {
        for (Served served : models.values()) {
            if (served.pipeline() == before) {
                served.lost(message);
            }
        }
    }

    /** Whatever ran through older pipelines of its model goes on through this one, which was tried. */
    void resume(Pipeline now) {
        Model model = tried.get(now);
        if (model == null) {
            throw new IllegalStateException(
                    "the pipeline of epoch " + now.epoch().number() + " was not tried");
        }
        models.computeIfAbsent(model.name(), _ -> served(model, now)).move(now);
    }

    /** Who stands by for each stage of what a model runs through, null for nobody. */
    void standBy(Model model, List<@Nullable Contact> spares) {
        Served served = models.get(model.name());
        if (served != null) {
            served.standBy(spares);
        }
    }

    /** Nobody wants the rest. */
    void cancel(long id) {
        for (Served served : all()) {
            if (served.has(id)) {
                served.cancel(id);
            }
        }
    }

    private List<Served> all() {
        var all = new ArrayList<>(models.values());
        all.addAll(trials);
        return all;
    }

    // ---------------------------------------------------------------------------------------------- wires

    @Override
    public Future<Result.TaskAccepted> ask(Pipeline.Hop hop, Command.ExecuteTask task) {
        return commands.ask(hop.node().id(), task, Result.TaskAccepted.class, ASK_TIMEOUT);
    }

    @Override
    public int term() {
        return term;
    }

    @Override
    public void outranked(int by) {
        course.outranked(by);
    }

    @Override
    public void placed(Served served, String order) {
        if (models.containsValue(served)) {
            course.placed(served.pipeline(), order);
        }
    }

    @Override
    public Contact self() {
        return endpoint.contact();
    }

    @Override
    public ActivationType activations(Model model) {
        ActivationType wanted = profile.coordinator().activationType();
        return wanted.fits(model.config().hidden()) ? wanted : ActivationType.F16;
    }

    /** One stream to each node, for all that goes to stages. */
    @Override
    public Future<FrameStream> wayTo(Pipeline.Hop hop) {
        NodeId id = hop.node().id();
        Future<FrameStream> known = ways.get(id);
        if (known != null && !known.failed()) {
            return known;
        }
        Future<FrameStream> opened = endpoint.connect(hop.node()).compose(peer -> peer.open(StreamKind.STAGE));
        opened.onSuccess(stream -> stream.onClose(() -> ways.remove(id, opened)));
        ways.put(id, opened);
        return opened;
    }

    /** Frames from stages: tokens and failures. */
    private void hear(FrameStream stream) {
        stream.onFrame(frame -> {
            switch (frame) {
                case Frame.TokensSampled result -> {
                    Served served = numbered(result.pipeline());
                    if (served != null && served.pipeline().runsOn(stream.peer().id())) {
                        served.hear(result);
                        if (models.containsValue(served)) {
                            paces.look(served.scheduler().load(), served.pipeline());
                        }
                    }
                }
                case Frame.StageFailed failure -> {
                    Served served = numbered(failure.pipeline());
                    if (served != null && served.pipeline().runsOn(stream.peer().id())) {
                        served.hear(failure);
                    }
                }
                default ->
                    stream.refuse(ErrorCode.UNSUPPORTED, "a coordinator takes sampled tokens, not " + frame.type());
            }
        });
    }

    private @Nullable Served numbered(long pipeline) {
        for (Served served : all()) {
            if (served.number() == pipeline) {
                return served;
            }
        }
        return null;
    }

    private void lost(PeerConnection peer) {
        ways.remove(peer.id());
        for (Served served : all()) {
            if (served.pipeline().runsOn(peer.id())) {
                troubled(served, served.pipeline(), peer + " is gone");
            }
        }
    }
}
