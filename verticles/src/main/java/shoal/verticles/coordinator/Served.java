package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.bridge.generate.PromptLookup;
import shoal.bridge.model.sampling.TokenHistory;
import shoal.codec.base.Contact;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;
import shoal.codec.command.CommandException;
import shoal.codec.command.Result;
import shoal.codec.pipeline.CopiedPages;
import shoal.codec.pipeline.HopTimes;
import shoal.codec.pipeline.Scheduler;
import shoal.codec.pipeline.Scheduler.Effect;
import shoal.codec.pipeline.Scheduler.Input;
import shoal.codec.pipeline.StageLoad;
import shoal.codec.wire.ActivationType;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.verticles.bus.Local;
import shoal.verticles.driver.MachineDriver;
import shoal.verticles.quic.FrameStream;

/** One model's scheduler, the pipeline that it runs through now, and who listens to its generations. One event loop. */
final class Served {
    private static final Logger LOG = LoggerFactory.getLogger(Served.class);
    private static final int MAX_ORDER = 256;

    private final Wires wires;
    private final long number;
    private final Model model;
    private final Scheduler scheduler;
    private final MachineDriver<Input, Effect> driver;
    private final Map<Long, Running> running = new HashMap<>();
    private final Troubled troubled;
    private Map<NodeId, FrameStream> ways = Map.of();
    private List<String> orders = List.of();
    private List<@Nullable Contact> spares = List.of();
    private Pipeline pipeline;
    private boolean joined;
    private boolean closed;

    /** What a scheduler needs of the process around it. */
    interface Wires {
        /** A stream to a node for the frames of stages. */
        Future<FrameStream> wayTo(Pipeline.Hop hop);

        Future<Result.TaskAccepted> ask(Pipeline.Hop hop, Command.ExecuteTask task);

        /** This process, where sampled tokens go. */
        Contact self();

        ActivationType activations(Model model);

        /** Under which this coordinator works. */
        int term();

        /** A node works for another coordinator under this term. */
        void outranked(int by);

        /** All stages have joined, and what runs goes on. @param order as {@link Generations.Course#placed} */
        void placed(Served served, String order);
    }

    /** Told when a pipeline does not do what it should. */
    interface Troubled {
        void trouble(Served served, Pipeline through, String message);
    }

    /** A generation: who hears it, and through which pipeline its tokens came. */
    private static final class Running {
        private final Generations.Listener listener;
        private Pipeline through;
        private boolean exact = true;

        Running(Generations.Listener listener, Pipeline through) {
            this.listener = listener;
            this.through = through;
        }
    }

    Served(
            Vertx vertx,
            Wires wires,
            long number,
            Model model,
            Pipeline pipeline,
            Scheduler.Settings settings,
            Troubled troubled) {
        this.wires = wires;
        this.number = number;
        this.model = model;
        this.pipeline = pipeline;
        this.troubled = troubled;
        scheduler = new Scheduler(number, settings, Served::guess);
        driver = new MachineDriver<>(vertx, scheduler, new Input.Tick(), this::carryOut);
    }

    private static int[] guess(int[] tokens, int most) {
        return new PromptLookup().draft(new TokenHistory(tokens), most);
    }

    long number() {
        return number;
    }

    Model model() {
        return model;
    }

    Pipeline pipeline() {
        return pipeline;
    }

    Scheduler scheduler() {
        return scheduler;
    }

    /** What its stages have done so far. */
    Local.ModelWork work() {
        StageLoad load = scheduler.load();
        HopTimes hops = scheduler.hops();
        int stages = Math.min(load.stages(), pipeline.hops().size());
        return new Local.ModelWork(
                model.name(),
                hops.seen(),
                hops.micros(0.5),
                hops.micros(0.99),
                scheduler.replayedPositions(),
                scheduler.takenUpPositions(),
                IntStream.range(0, stages)
                        .mapToObj(stage -> {
                            Pipeline.Hop hop = pipeline.hops().get(stage);
                            return new Local.StageWork(
                                    hop.node().id(),
                                    hop.shard().layers(),
                                    load.busyMicros(stage),
                                    load.tokens(stage),
                                    load.batches(stage));
                        })
                        .toList());
    }

    int generations() {
        return running.size();
    }

    boolean has(long session) {
        return running.containsKey(session);
    }

    void submit(Scheduler.Request request, Generations.Listener listener) {
        running.put(request.session(), new Running(listener, pipeline));
        driver.feed(new Input.Submit(request));
    }

    void cancel(long session) {
        driver.feed(new Input.Cancel(session));
    }

    /** Every stage is asked to be what it is in this pipeline; then what runs goes on through it. */
    void move(Pipeline now) {
        Pipeline before = pipeline;
        boolean wasJoined = joined;
        pipeline = now;
        joined = false;
        join(now)
                .onSuccess(accepted -> {
                    if (pipeline == now && !closed) {
                        begin(now, accepted);
                        if (wasJoined && before != now) {
                            leave(before, now);
                        }
                    }
                })
                .onFailure(failure -> {
                    if (pipeline == now && !closed) {
                        troubled.trouble(this, now, String.valueOf(failure.getMessage()));
                    }
                });
    }

    private Future<List<Result.TaskAccepted>> join(Pipeline now) {
        var joining = new ArrayList<Future<Result.TaskAccepted>>();
        var opening = new LinkedHashMap<NodeId, Future<FrameStream>>();
        for (int stage = 0; stage < now.hops().size(); stage++) {
            Pipeline.Hop hop = now.hops().get(stage);
            joining.add(wires.ask(hop, task(now, stage, false)));
            opening.computeIfAbsent(hop.node().id(), _ -> wires.wayTo(hop));
        }
        return Future.all(joining)
                .compose(_ -> Future.all(List.copyOf(opening.values())))
                .map(_ -> {
                    if (pipeline == now) {
                        var open = new HashMap<NodeId, FrameStream>();
                        opening.forEach((node, way) -> open.put(node, way.result()));
                        ways = open;
                    }
                    return notOutranked(joining.stream().map(Future::result).toList());
                });
    }

    private List<Result.TaskAccepted> notOutranked(List<Result.TaskAccepted> stages) {
        int by =
                stages.stream().mapToInt(Result.TaskAccepted::outrankedBy).max().orElse(0);
        if (by != 0) {
            wires.outranked(by);
            throw new CommandException("another coordinator works for this model, under term " + by);
        }
        return stages;
    }

    /** One name for the orders of all stages. */
    private static String order(List<String> orders) {
        String order = orders.stream().distinct().count() == 1 ? orders.getFirst() : String.join(",", orders);
        return order.length() <= MAX_ORDER ? order : String.valueOf(order.hashCode());
    }

    private void begin(Pipeline now, List<Result.TaskAccepted> accepted) {
        joined = true;
        Set<Integer> fresh = new HashSet<>();
        Map<Integer, CopiedPages> copies = new HashMap<>();
        List<String> before = orders;
        orders = accepted.stream().map(Result.TaskAccepted::order).toList();
        if (!before.isEmpty() && !before.equals(orders)) {
            LOG.warn("stages took over that add numbers in another order; tokens may differ from here on");
            running.values().forEach(generation -> generation.exact = false);
        }
        int pages = Integer.MAX_VALUE;
        for (Result.TaskAccepted stage : accepted) {
            pages = Math.min(pages, stage.pages());
            if (stage.fresh()) {
                fresh.add(stage.stage());
                copies.put(
                        stage.stage(),
                        new CopiedPages(
                                stage.copies().positions(), stage.copies().nanosPerPosition()));
            }
        }
        wires.placed(this, order(orders));
        tellSpares();
        // a pipeline is used once a canary has passed through it, and one that is tried has nothing but its canary
        driver.feed(new Input.Ready(now.epoch(), accepted.size(), pages, fresh, copies, true));
    }

    /** Who stands by for each stage, null for nobody: the stages copy their keys and values there. */
    void standBy(List<@Nullable Contact> now) {
        if (!now.equals(spares)) {
            spares = now;
            tellSpares();
        }
    }

    private void tellSpares() {
        for (int stage = 0;
                joined && stage < Math.min(spares.size(), pipeline.hops().size());
                stage++) {
            send(stage, new Frame.CopyTo(number, pipeline.epoch(), stage, spares.get(stage)));
        }
    }

    /** Stages of an older pipeline that are not in this one may forget all. */
    private void leave(Pipeline before, Pipeline now) {
        for (int stage = 0; stage < before.hops().size(); stage++) {
            NodeId node = before.hops().get(stage).node().id();
            boolean stays = stage < now.hops().size()
                    && now.hops().get(stage).node().id().equals(node);
            if (!stays) {
                closeStage(before, stage);
            }
        }
    }

    private void closeStage(Pipeline through, int stage) {
        wires.ask(through.hops().get(stage), task(through, stage, true))
                .onFailure(failure -> LOG.debug("a stage was not closed: {}", failure.getMessage()));
    }

    private Command.ExecuteTask task(Pipeline through, int stage, boolean close) {
        List<Pipeline.Hop> hops = through.hops();
        Pipeline.Hop hop = hops.get(stage);
        return new Command.ExecuteTask(
                number,
                through.epoch(),
                stage,
                hop.shard().index(),
                hop.shard().layers(),
                hop.shard().piecesRoot(),
                stage + 1 < hops.size() ? hops.get(stage + 1).node() : null,
                wires.self(),
                wires.activations(model),
                model.config().contextLength(),
                close,
                new Command.Term(model.manifest().modelRoot(), wires.term()));
    }

    /** The pipeline lost a stage: what runs waits for {@link #move}. */
    void lost(String message) {
        driver.feed(new Input.Lost(message));
    }

    void hear(Frame.TokensSampled result) {
        driver.feed(new Input.Done(result));
    }

    void hear(Frame.StageFailed failure) {
        driver.feed(new Input.Failed(failure));
    }

    /** Whoever still listens is told that it failed; all stages may forget what they hold. */
    void close(ErrorCode code, String message) {
        if (closed) {
            return;
        }
        closed = true;
        driver.stop();
        for (int stage = 0; stage < pipeline.hops().size(); stage++) {
            closeStage(pipeline, stage);
        }
        var left = List.copyOf(running.values());
        running.clear();
        left.forEach(generation -> generation.listener.failed(code, message));
    }

    // -------------------------------------------------------------------------------------------- effects

    private void carryOut(Effect effect) {
        switch (effect) {
            case Effect.Send(Frame frame) -> send(0, frame);
            case Effect.SendAgain(Frame.Replay replay) -> send(replay.head().stage(), replay);
            case Effect.Release(Frame.Release release) -> ways.values().forEach(way -> way.send(release));
            case Effect.Emit emit -> {
                Running generation = running.get(emit.session());
                if (generation != null) {
                    generation.listener.state(emit.state());
                    if (generation.listener.token(emit.token(), emit.logProbability(), emit.top())) {
                        driver.feed(new Input.Enough(emit.session()));
                    }
                }
            }
            case Effect.Finish(long session, Frame.StopReason reason) -> {
                Running generation = running.remove(session);
                if (generation != null) {
                    generation.listener.finished(reason);
                }
            }
            case Effect.Fail(long session, ErrorCode code, String message) -> {
                Running generation = running.remove(session);
                if (generation != null) {
                    generation.listener.failed(code, message);
                }
            }
            case Effect.Proven _ -> moved();
            case Effect.Trouble(var epoch, String message) -> {
                if (epoch.equals(pipeline.epoch())) {
                    troubled.trouble(this, pipeline, message);
                }
            }
        }
    }

    private void moved() {
        for (Running generation : List.copyOf(running.values())) {
            if (generation.through != pipeline) {
                generation.through = pipeline;
                generation.listener.moved(pipeline, generation.exact);
            }
        }
    }

    private void send(int stage, Frame frame) {
        Pipeline through = pipeline;
        @Nullable FrameStream way = ways.get(through.hops().get(stage).node().id());
        if (way == null) {
            return; // it moves just now
        }
        way.send(frame).onFailure(failure -> {
            if (pipeline == through && !closed) {
                troubled.trouble(this, through, String.valueOf(failure.getMessage()));
            }
        });
    }
}
