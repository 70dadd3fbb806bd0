package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;
import shoal.codec.command.Envelope;
import shoal.codec.command.EnvelopeCodec;
import shoal.codec.command.Result;
import shoal.codec.dht.DhtKeys;
import shoal.codec.wire.Availability;
import shoal.codec.wire.Role;
import shoal.codec.wire.SignedRecord;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;

/** The nodes that could be given work: found in the DHT, or heard of when they say that they are up. One event loop. */
final class Members {
    private static final Logger LOG = LoggerFactory.getLogger(Members.class);
    private static final Duration ASK_TIMEOUT = Duration.ofSeconds(10);
    private static final long POLL_MILLIS = 300;
    private static final long LATER_LOOK_MILLIS = 10_000;

    private final Vertx vertx;
    private final CommandBus bus;
    private final Commands commands;
    private final Profile profile;
    private final Watch watch;
    private final Consumer<NodeId> joined;
    private final Map<NodeId, Result.Capabilities> known = new LinkedHashMap<>();
    private final Set<NodeId> asking = new HashSet<>();

    /** @param joined told of each node that is new, or there again */
    Members(Vertx vertx, CommandBus bus, Commands commands, Profile profile, Watch watch, Consumer<NodeId> joined) {
        this.vertx = vertx;
        this.bus = bus;
        this.commands = commands;
        this.profile = profile;
        this.watch = watch;
        this.joined = joined;
    }

    void start() {
        bus.onBroadcast(text -> {
            try {
                Envelope.Request said = EnvelopeCodec.readRequest(text);
                if (said.command() instanceof Command.NodeReady) {
                    ask(NodeId.parse(said.from()), "said that it is up");
                }
            } catch (EnvelopeCodec.BadRequestException | shoal.codec.base.MalformedException bad) {
                LOG.debug("a broadcast was passed over: {}", bad.getMessage());
            }
        });
        look();
        vertx.setPeriodic(LATER_LOOK_MILLIS, _ -> look());
    }

    /** Completes when so many nodes take work. @param waiting told what is waited for, when that changes */
    Future<Void> await(int needed, Consumer<String> waiting) {
        if (working().size() >= needed) {
            return Future.succeededFuture();
        }
        return look().compose(_ -> {
            int here = working().size();
            if (here >= needed) {
                return Future.succeededFuture();
            }
            waiting.accept(needed + " nodes to join, " + here + " are here");
            return vertx.timer(POLL_MILLIS, TimeUnit.MILLISECONDS).compose(_ -> await(needed, waiting));
        });
    }

    /** Asks the DHT who is in the cluster, and those who are new what they can do. */
    private Future<Void> look() {
        var key = new Local.FindProviders(DhtKeys.cluster(profile.cluster().name()));
        return bus.ask(Addresses.FIND_PROVIDERS, key, Local.ProvidersFound.class)
                .compose(providers -> {
                    var answers = new ArrayList<Future<?>>();
                    for (SignedRecord signed : providers.records()) {
                        NodeId id = signed.record().provider().id();
                        boolean isNode = new String(signed.record().payload(), StandardCharsets.UTF_8).equals("node");
                        if (isNode && !known.containsKey(id) && !watch.isLost(id)) {
                            answers.add(ask(id, "discovered in the DHT"));
                        }
                    }
                    return Future.join(answers).transform(_ -> Future.<Void>succeededFuture());
                })
                .recover(failure -> {
                    LOG.debug("the DHT was not asked: {}", failure.getMessage());
                    return Future.succeededFuture();
                });
    }

    /** Asks a node what it can do, and counts on it from then on. */
    Future<Void> ask(NodeId id, String how) {
        if (!asking.add(id)) {
            return Future.succeededFuture();
        }
        Promise<Void> done = Promise.promise();
        commands.ask(id, new Command.GetCapabilities(), Result.Capabilities.class, ASK_TIMEOUT)
                .onComplete(answer -> {
                    asking.remove(id);
                    if (answer.failed()) {
                        LOG.debug("{}", answer.cause().getMessage());
                    } else if (answer.result().role().equals(Role.NODE.text())) {
                        known.put(id, answer.result());
                        watch.over(answer.result().contact());
                        bus.tell(Addresses.STEP, new Local.Step(3, "node " + id.toShortHex() + " " + how));
                        LOG.info("{}: {}", how, answer.result().contact());
                        joined.accept(id);
                    }
                    done.complete();
                });
        return done.future();
    }

    /** Asks all again what they hold; who does not answer is left out. */
    Future<Void> refresh() {
        var answers = new ArrayList<Future<?>>();
        for (NodeId id : List.copyOf(known.keySet())) {
            answers.add(commands.ask(id, new Command.GetCapabilities(), Result.Capabilities.class, ASK_TIMEOUT)
                    .onSuccess(capabilities -> known.replace(id, capabilities))
                    .onFailure(failure -> {
                        LOG.warn("{}; it is left out", failure.getMessage());
                        known.remove(id);
                    }));
        }
        return Future.join(answers).transform(_ -> Future.succeededFuture());
    }

    void gone(NodeId id) {
        known.remove(id);
    }

    /** What a node said of itself, or null if nothing is known of it. */
    Result.@Nullable Capabilities get(NodeId id) {
        return known.get(id);
    }

    Set<NodeId> ids() {
        return Set.copyOf(known.keySet());
    }

    /** Who takes work now. */
    Collection<Result.Capabilities> working() {
        return known.values().stream().filter(node -> isWorking(node.node())).toList();
    }

    boolean isWorking(NodeId id) {
        return known.containsKey(id) && !watch.isLost(id) && watch.availability(id) == Availability.WORKING;
    }

    /** Those who want to leave or to rest. */
    Set<NodeId> retiring() {
        var retiring = new HashSet<NodeId>();
        known.keySet().stream()
                .filter(id -> watch.availability(id) != Availability.WORKING)
                .forEach(retiring::add);
        return retiring;
    }
}
