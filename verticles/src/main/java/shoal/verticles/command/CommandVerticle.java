package shoal.verticles.command;

import io.vertx.core.Future;
import io.vertx.core.VerticleBase;
import io.vertx.core.eventbus.ReplyException;
import io.vertx.core.eventbus.ReplyFailure;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Hash256;
import shoal.codec.command.Command;
import shoal.codec.command.Envelope;
import shoal.codec.command.EnvelopeCodec;
import shoal.codec.command.Result;
import shoal.codec.wire.Role;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.quic.QuicEndpoint;
import shoal.verticles.quic.RoundTrips;
import shoal.verticles.store.ShardStore;
import shoal.verticles.store.StoredFile;

/** The door for envelopes: checks them once, answers or forwards them, and turns every failure into an error reply. */
public final class CommandVerticle extends VerticleBase {
    private static final Logger LOG = LoggerFactory.getLogger(CommandVerticle.class);

    private final QuicEndpoint endpoint;
    private final CommandBus bus;
    private final Profile profile;
    private final Role role;
    private final ShardStore store;
    private final Machine machine;
    private final String software;

    /** What this process may use, and with which kernels it computes; a role that computes nothing has none. */
    public record Machine(
            long memoryBytes,
            String kernels,
            List<Result.ComputeDevice> devices,
            Supplier<List<Result.Speed>> speeds) {}

    public CommandVerticle(
            QuicEndpoint endpoint,
            CommandBus bus,
            Profile profile,
            Role role,
            ShardStore store,
            Machine machine,
            String software) {
        this.endpoint = endpoint;
        this.bus = bus;
        this.profile = profile;
        this.role = role;
        this.store = store;
        this.machine = machine;
        this.software = software;
    }

    @Override
    public Future<?> start() {
        return bus.answer(endpoint.nodeId(), this::answer);
    }

    private Future<String> answer(String text) {
        Envelope.Request request;
        try {
            request = EnvelopeCodec.readRequest(text);
        } catch (EnvelopeCodec.BadRequestException bad) {
            LOG.warn("a request was refused: {}", bad.getMessage());
            return Future.succeededFuture(EnvelopeCodec.write(bad.reply()));
        }
        String name = request.command().name();
        return carryOut(request.command())
                .map(result -> (Envelope) new Envelope.Success(name, request.requestId(), result))
                .otherwise(failure -> new Envelope.Failure(name, request.requestId(), explain(name, failure)))
                .map(EnvelopeCodec::write);
    }

    private String explain(String name, Throwable failure) {
        if (failure instanceof ReplyException reply && reply.failureType() == ReplyFailure.NO_HANDLERS) {
            return "A " + role.text() + " does not carry out " + name + ".";
        }
        LOG.debug("{} failed", name, failure);
        return failure.getMessage() == null ? failure.getClass().getSimpleName() : failure.getMessage();
    }

    private Future<? extends Result> carryOut(Command command) {
        return switch (command) {
            case Command.ListFiles() -> vertx.executeBlocking(this::files);
            case Command.GetCapabilities() ->
                loaded().compose(loaded -> vertx.executeBlocking(() -> capabilities(loaded)));
            case Command.Status() ->
                loaded().map(loaded -> new Result.State(
                        endpoint.nodeId(),
                        role.text(),
                        role == Role.NODE && loaded.isEmpty() ? "idle" : "ready",
                        0,
                        ManagementFactory.getRuntimeMXBean().getUptime() / 1000));
            case Command.PingPeers(var peers) ->
                RoundTrips.measure(endpoint, peers)
                        .map(trips -> new Result.RoundTrips(trips.entrySet().stream()
                                .map(trip -> new Result.RoundTrip(
                                        trip.getKey(), TimeUnit.NANOSECONDS.toMicros(trip.getValue())))
                                .toList()));
            case Command.Trace trace -> bus.ask(Addresses.TRACE, trace, Result.Receipts.class);
            case Command.LoadShard load -> bus.ask(Addresses.LOAD_SHARD, load, Result.ShardReady.class);
            case Command.UnloadShard unload -> bus.ask(Addresses.UNLOAD_SHARD, unload, Result.ShardDropped.class);
            case Command.ExecuteTask task -> bus.ask(Addresses.EXECUTE_TASK, task, Result.TaskAccepted.class);
            case Command.StandBy stand -> bus.ask(Addresses.STAND_BY, stand, Result.StandsBy.class);
            case Command.Generate generate -> bus.ask(Addresses.GENERATE, generate, Result.Generated.class);
            case Command.ShardLoaded _, Command.ShardProgress _, Command.NodeReady _ ->
                Future.failedFuture(
                        new IllegalArgumentException(command.name() + " is told to all, not asked of one."));
        };
    }

    private Result files() {
        var files = new ArrayList<Result.FileInfo>();
        for (StoredFile file : store.list()) {
            if (file.isWhole()) {
                files.add(new Result.FileInfo(
                        file.metainfo().infoHash().hash(),
                        file.metainfo().name(),
                        file.metainfo().length()));
            }
        }
        return new Result.Files(files);
    }

    private Future<List<Local.LoadedShard>> loaded() {
        return role != Role.NODE
                ? Future.succeededFuture(List.of())
                : bus.ask(Addresses.LOADED, new Local.AskLoaded(), Local.Loaded.class)
                        .map(Local.Loaded::shards);
    }

    private Result capabilities(List<Local.LoadedShard> loaded) {
        List<Result.LoadedShard> shards = loaded.stream()
                .map(shard -> new Result.LoadedShard(
                        shard.shardId() == null ? 0 : shard.shardId(),
                        shard.layers(),
                        shard.piecesRoot(),
                        shard.memoryBytes()))
                .toList();
        List<Hash256> onDisk = store.list().stream()
                .filter(StoredFile::isWhole)
                .map(StoredFile::piecesRoot)
                .toList();
        Integer pinned = profile.shard().id();
        return new Result.Capabilities(
                pinned != null
                        ? pinned
                        : shards.isEmpty()
                                ? null
                                : Integer.valueOf(shards.getFirst().shardId()),
                pinned,
                endpoint.nodeId(),
                role.text(),
                software,
                shards,
                onDisk,
                Runtime.getRuntime().availableProcessors(),
                machine.memoryBytes(),
                machine.kernels(),
                ProcessHandle.current().pid(),
                endpoint.contact(),
                machine.devices(),
                machine.speeds().get());
    }
}
