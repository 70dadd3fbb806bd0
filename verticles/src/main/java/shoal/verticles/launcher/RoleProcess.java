package shoal.verticles.launcher;

import io.vertx.core.Deployable;
import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.core.VertxOptions;
import java.io.IOException;
import java.net.Inet4Address;
import java.net.NetworkInterface;
import java.net.SocketException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.bridge.hash.BlockHashers;
import shoal.codec.base.Endpoint;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Role;
import shoal.verticles.api.ApiVerticle;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.Cluster;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.command.CommandVerticle;
import shoal.verticles.config.Profile;
import shoal.verticles.config.ProfileException;
import shoal.verticles.coordinator.CoordinatorVerticle;
import shoal.verticles.dht.DhtVerticle;
import shoal.verticles.fileserver.FileServerVerticle;
import shoal.verticles.guard.GuardVerticle;
import shoal.verticles.identity.ClusterSecret;
import shoal.verticles.identity.Identity;
import shoal.verticles.inferencestage.InferenceStageVerticle;
import shoal.verticles.inferencestage.StageHost;
import shoal.verticles.piecefetcher.PieceFetcherVerticle;
import shoal.verticles.pieceserver.PieceServerVerticle;
import shoal.verticles.push.PushVerticle;
import shoal.verticles.quic.QuicEndpoint;
import shoal.verticles.shardloader.ShardLoaderVerticle;
import shoal.verticles.store.ShardStore;
import shoal.verticles.store.StoredFile;

/**
 * One process of the swarm, from start to end. Order: identity and store, a shard that is here already, hello to a bootstrap, the
 * cluster's bus, QUIC, the verticles of the role.
 */
public final class RoleProcess {
    private static final Logger LOG = LoggerFactory.getLogger(RoleProcess.class);
    private static final Duration STEP = Duration.ofSeconds(60);
    private static final int MIN_KEY_LENGTH = 16;
    private static final int TERMINATED = 143;
    private static final Duration DRAIN = Duration.ofSeconds(2);

    private final Profile profile;
    private final Role role;
    private final String software;
    private final boolean events;
    private final CountDownLatch ready = new CountDownLatch(1);
    private final CountDownLatch end = new CountDownLatch(1);
    private @Nullable ShardStore store;
    private @Nullable StageHost host;
    private @Nullable QuicEndpoint endpoint;
    private @Nullable Cluster cluster;
    private @Nullable CommandBus bus;
    private volatile boolean inHaste;
    private volatile @Nullable String lostDevice;
    private volatile @Nullable String api;

    /** @param events whether to tell on standard output what happens, one JSON object a line */
    public RoleProcess(Profile profile, Role role, String software, boolean events) {
        this.profile = profile;
        this.role = role;
        this.software = software;
        this.events = events;
    }

    /**
     * Runs until the process is told to end.
     *
     * @throws IOException if it cannot start, or loses the device that it computes on
     * @param endWithStandardInput whether it ends when standard input closes; the line {@code detach} lifts that
     */
    public void run(boolean endWithStandardInput) throws IOException, InterruptedException {
        if (endWithStandardInput) {
            Thread.ofPlatform().daemon().name("standard input").start(this::watchStandardInput);
        }
        Thread atExit = Thread.ofPlatform().name("drain").unstarted(this::stop);
        Runtime.getRuntime().addShutdownHook(atExit);
        try {
            start();
            end.await();
            String lost = lostDevice;
            if (lost != null) {
                throw new IOException(lost + ". Start this node again");
            }
        } finally {
            try {
                Runtime.getRuntime().removeShutdownHook(atExit);
                stop();
            } catch (IllegalStateException shuttingDown) {
                atExit.join();
            }
        }
    }

    /** Tells it to end, as a signal would. */
    public void end() {
        end.countDown();
    }

    /** Where it answers programs over HTTP once it is ready, or null if it does not. */
    public @Nullable String api() {
        return api;
    }

    /** Waits until it can be talked to. @throws IOException if that takes longer */
    public void awaitReady(Duration bound) throws IOException, InterruptedException {
        if (!ready.await(bound.toMillis(), TimeUnit.MILLISECONDS)) {
            throw new IOException("the " + role.text() + " was not up within " + bound.toSeconds() + " s");
        }
    }

    private void watchStandardInput() {
        try {
            while (true) {
                int c = System.in.read();
                if (c < 0) {
                    inHaste = true; // whoever started it is gone
                    Runtime.getRuntime().exit(0);
                }
                if (c == 'd') {
                    return; // detach
                }
            }
        } catch (IOException closed) {
            inHaste = true;
            Runtime.getRuntime().exit(0);
        }
    }

    private void start() throws IOException, InterruptedException {
        List<Endpoint> bootstrap = profile.bootstrapEndpoints();
        if (bootstrap.isEmpty() && role != Role.RENDEZVOUS) {
            throw new ProfileException(
                    "a " + role.text() + " needs an address to know first. Pass --bootstrap HOST:PORT.");
        }
        ClusterSecret secret = secret();
        Path directory = profile.store().directoryPath();
        Files.createDirectories(directory);
        Identity identity = Identity.loadOrCreate(directory.resolve("identity.pem"));
        BlockHashers.Choice hashing = BlockHashers.choice();
        LOG.info("[HASH] SHA-256 of blocks by {} ({})", hashing.hasher().name(), hashing.reason());
        ShardStore opened = ShardStore.open(directory, profile.store().shardsPath(), hashing.hasher());
        opened.limit(profile.store().quotaBytes());
        store = opened;
        if (role == Role.NODE) {
            host = new StageHost(profile.compute(), directory);
            loadPinnedShard(opened, host);
        }
        Frame.Welcome welcome = bootstrap.isEmpty()
                ? null
                : Bootstrap.awaitWelcome(
                        bootstrap,
                        Duration.ofSeconds(profile.bootstrapTimeoutSeconds()),
                        identity,
                        settings(secret, List.of()));
        List<Endpoint> members = welcome == null ? List.of() : welcome.busMembers();
        Cluster joined = await(Cluster.join(
                new VertxOptions().setPreferNativeTransport(true),
                new Cluster.Settings(
                        identity.nodeId(),
                        profile.cluster().name(),
                        profile.cluster().host(),
                        profile.cluster().port(),
                        profile.cluster().busPort(),
                        members,
                        secret)));
        cluster = joined;
        Vertx vertx = joined.vertx();
        CommandBus bus = CommandBus.install(vertx);
        this.bus = bus;
        QuicEndpoint quic = await(QuicEndpoint.open(vertx, identity, settings(secret, advertised(welcome))));
        endpoint = quic;
        quic.tellBusMembers(joined::members);
        new RunningNote(ProcessHandle.current().pid(), role.text(), here(quic.bound()), secretPath()).write(directory);
        Events told = new Events(System.out);
        if (events) {
            told.listenTo(bus);
        }
        if (role == Role.NODE && opened.list().isEmpty()) {
            bus.tell(Addresses.STEP, new Local.Step(1, "starts without shard files"));
        }
        joined.onMemberLost(node -> bus.tell(Addresses.MEMBER_LOST, new Local.MemberLost(node)));
        bus.listen(Addresses.DEVICE_LOST, Local.DeviceLost.class, gone -> {
            LOG.error("{}; this node ends, others take over", gone.message());
            inHaste = true; // there is nothing that it could hand over
            lostDevice = gone.message();
            end.countDown();
        });
        deploy(vertx, bus, quic, opened, bootstrap);
        LOG.info(
                "{} {} of cluster '{}' listens on {} (QUIC)",
                role.text(),
                quic.nodeId().toShortHex(),
                profile.cluster().name(),
                quic.bound());
        if (events) {
            var fields = new LinkedHashMap<String, Object>();
            fields.put("role", role.text());
            fields.put("id", quic.nodeId().toHex());
            fields.put("pid", ProcessHandle.current().pid());
            fields.put("quic", quic.advertised().getFirst().toString());
            if (api != null) {
                fields.put("api", api);
            }
            told.emit("ready", fields);
        }
        ready.countDown();
    }

    /** The bound address as this machine itself reaches it. */
    private static Endpoint here(Endpoint bound) {
        return switch (bound.host()) {
            case "0.0.0.0" -> new Endpoint("127.0.0.1", bound.port());
            case "::" -> new Endpoint("::1", bound.port());
            default -> bound;
        };
    }

    private @Nullable String secretPath() {
        String file = profile.cluster().secretFile();
        return file == null ? null : Path.of(file).toAbsolutePath().toString();
    }

    private QuicEndpoint.Settings settings(@Nullable ClusterSecret secret, List<Endpoint> advertised) {
        return new QuicEndpoint.Settings(
                profile.quic().bind(),
                advertised,
                role,
                profile.cluster().name(),
                secret,
                software,
                QuicEndpoint.PROTOCOL);
    }

    /**
     * Where others reach this machine: as the profile says; the bound address; or, where that means all of them, the one that a
     * bootstrap saw packets come from, and without a bootstrap the first that another machine could reach.
     */
    private List<Endpoint> advertised(Frame.@Nullable Welcome welcome) throws SocketException {
        if (!profile.quic().advertise().isEmpty() || !profile.quic().isAnyAddress()) {
            return profile.quic().advertised();
        }
        if (welcome != null) {
            return List.of(new Endpoint(welcome.observed().host(), 0));
        }
        return NetworkInterface.networkInterfaces()
                .filter(RoleProcess::isUp)
                .flatMap(NetworkInterface::inetAddresses)
                .filter(address -> !address.isLoopbackAddress() && !address.isLinkLocalAddress())
                .filter(address -> profile.quic().host().contains(":") || address instanceof Inet4Address)
                .map(address -> new Endpoint(address.getHostAddress(), 0))
                .findFirst()
                .map(List::of)
                .orElse(List.of());
    }

    private static boolean isUp(NetworkInterface network) {
        try {
            return network.isUp();
        } catch (SocketException unknown) {
            return false;
        }
    }

    private @Nullable ClusterSecret secret() throws IOException {
        if (profile.cluster().isAnyAddress()) {
            throw new ProfileException("cluster.host is " + profile.cluster().host()
                    + "; name the one address of this machine that the others reach.");
        }
        String file = profile.cluster().secretFile();
        if (file != null) {
            return ClusterSecret.read(Path.of(file));
        }
        if (!profile.cluster().isLoopback()) {
            throw new ProfileException("cluster.host " + profile.cluster().host()
                    + " can be reached from elsewhere, so cluster.secretFile must name the cluster's secret. Make one with: "
                    + "head -c 32 /dev/urandom | base64 > FILE");
        }
        if (!profile.quic().isLoopback()) {
            LOG.warn(
                    "QUIC listens on {}, but the cluster's bus on {} only: other machines can fetch files here, and cannot join. "
                            + "Set cluster.host and cluster.secretFile.",
                    profile.quic().host(),
                    profile.cluster().host());
        }
        return null;
    }

    /** A node that is pinned to a shard and has its file is ready before anybody knows of it. */
    private void loadPinnedShard(ShardStore files, StageHost stages) throws IOException {
        Integer pinned = profile.shard().id();
        if (pinned == null) {
            return;
        }
        String name = "shard-" + pinned + ".gguf";
        files.scan(
                files.shardsDirectory(),
                (path, failure) -> LOG.warn("{} is passed over: {}", path, failure.getMessage()));
        for (StoredFile file : files.list()) {
            if (file.isWhole() && file.metainfo().name().equals(name)) {
                stages.open(new Local.OpenStage(
                        file.path(),
                        file.piecesRoot(),
                        file.metainfo().infoHash().hash(),
                        StageHost.layersOf(file.path()),
                        pinned,
                        null));
                files.hold(file.piecesRoot(), "layers " + StageHost.layersOf(file.path()));
                LOG.info("[SHARD] ✓✓✓ SHARD {} LOADED BEFORE JOINING NETWORK ✓✓✓", pinned);
                LOG.info("[SHARD]   Path: {}", file.path());
                return;
            }
        }
    }

    private void deploy(Vertx vertx, CommandBus bus, QuicEndpoint quic, ShardStore files, List<Endpoint> bootstrap) {
        String name = profile.cluster().name();
        StageHost stages = host;
        var machine = new CommandVerticle.Machine(
                stages == null ? StageHost.machineMemoryBytes() : stages.memoryBytes(),
                stages == null ? "none" : stages.kernelsName(),
                stages == null ? List.of() : StageHost.devices(),
                stages == null ? List::of : stages::speeds);
        deploy(vertx, new DhtVerticle(quic, bus, bootstrap, name, role));
        if (role != Role.COORDINATOR) {
            deploy(vertx, new PieceServerVerticle(quic, files, bus, profile));
        }
        Integer httpPort = profile.upload().httpPort();
        if (httpPort != null && role != Role.COORDINATOR) {
            deploy(
                    vertx,
                    new FileServerVerticle(
                            files, bus, profile.upload(), profile.upload().httpHost(), httpPort));
        }
        if (role == Role.RENDEZVOUS && !profile.push().allow().isEmpty()) {
            deploy(vertx, new PushVerticle(quic, files, bus, profile));
        }
        if (role != Role.RENDEZVOUS) {
            deploy(vertx, new PieceFetcherVerticle(quic, files, bus, profile, bootstrap));
        }
        if (stages != null) {
            deploy(vertx, quic.beside(new InferenceStageVerticle(quic, bus, profile, stages)));
            deploy(vertx, new ShardLoaderVerticle(quic, bus, profile, files));
        }
        deploy(vertx, new CommandVerticle(quic, bus, profile, role, files, machine, software));
        if (role != Role.RENDEZVOUS) {
            deploy(vertx, new GuardVerticle(quic, bus, profile, role));
        }
        if (role == Role.COORDINATOR) {
            deploy(vertx, quic.beside(new CoordinatorVerticle(quic, bus, profile)));
            if (profile.api().enabled()) {
                var door = new ApiVerticle(quic, bus, profile, apiKey());
                deploy(vertx, door);
                api = door.baseUrl();
            }
        }
    }

    private @Nullable String apiKey() {
        String file = profile.api().keyFile();
        if (file == null) {
            if (!profile.api().isLoopback()) {
                LOG.warn(
                        "whoever reaches {}:{} may use the model. Set api.keyFile to ask for a key.",
                        profile.api().host(),
                        profile.api().port());
            }
            return null;
        }
        try {
            String key = Files.readString(Path.of(file)).strip();
            if (key.length() < MIN_KEY_LENGTH || key.lines().count() != 1) {
                throw new ProfileException("api.keyFile " + file + " must hold one line of at least " + MIN_KEY_LENGTH
                        + " characters. Make one with: head -c 32 /dev/urandom | base64 > FILE");
            }
            return key;
        } catch (IOException unreadable) {
            throw new ProfileException("api.keyFile " + file + " cannot be read: " + unreadable.getMessage());
        }
    }

    private static void deploy(Vertx vertx, Deployable verticle) {
        await(vertx.deployVerticle(verticle));
    }

    /** A node hands over what it computes for others before it goes; a second signal ends that. */
    private void handOver() {
        CommandBus asked = bus;
        bus = null;
        if (asked == null || role != Role.NODE || inHaste || profile.cluster().drainSeconds() == 0) {
            return;
        }
        Signals.on("TERM", () -> Runtime.getRuntime().halt(TERMINATED));
        Signals.on("INT", () -> Runtime.getRuntime().halt(TERMINATED));
        LOG.info("handing over before it leaves; a second signal ends it at once");
        try {
            asked.ask(Addresses.LEAVE, new Local.Leave(), Boolean.class)
                    .toCompletionStage()
                    .toCompletableFuture()
                    .orTimeout(profile.cluster().drainSeconds() + DRAIN.toSeconds(), TimeUnit.SECONDS)
                    .join();
        } catch (CompletionException late) {
            LOG.warn("left without handing over: {}", late.toString());
        }
    }

    /** Leaves in order: verticles, connections, the cluster, the disk. Bounded; what does not end in time is cut off. */
    private synchronized void stop() {
        handOver();
        Cluster joined = cluster;
        cluster = null;
        if (joined != null) {
            Future<?> closed = endpoint == null ? Future.succeededFuture() : endpoint.close();
            try {
                closed.transform(_ -> joined.leave())
                        .toCompletionStage()
                        .toCompletableFuture()
                        .orTimeout(DRAIN.toMillis(), TimeUnit.MILLISECONDS)
                        .join();
            } catch (CompletionException late) {
                LOG.debug("did not leave in order: {}", late.toString());
            }
        }
        ShardStore files = store;
        store = null;
        if (files != null) {
            try {
                RunningNote.remove(profile.store().directoryPath());
                files.close();
            } catch (IOException failure) {
                LOG.warn("the store was not closed: {}", failure.getMessage());
            }
        }
    }

    private static <T> T await(Future<T> future) {
        CompletableFuture<T> completable = future.toCompletionStage().toCompletableFuture();
        try {
            return completable.orTimeout(STEP.toMillis(), TimeUnit.MILLISECONDS).join();
        } catch (CompletionException failure) {
            if (failure.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            throw failure;
        }
    }
}
