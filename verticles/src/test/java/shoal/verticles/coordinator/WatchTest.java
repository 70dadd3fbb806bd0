package shoal.verticles.coordinator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.vertx.core.Context;
import io.vertx.core.Future;
import io.vertx.core.Vertx;
import java.net.InetAddress;
import java.net.NetworkInterface;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Epoch;
import shoal.codec.base.NodeId;
import shoal.codec.pipeline.Liveness;
import shoal.codec.wire.Availability;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Role;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.client.OwnerClient;
import shoal.verticles.config.ProfileReader;
import shoal.verticles.guard.GuardVerticle;
import shoal.verticles.identity.Identity;
import shoal.verticles.path.UdpPath;
import shoal.verticles.quic.PeerRefusedException;
import shoal.verticles.quic.QuicEndpoint;

/** A coordinator's watch and a node's guard, over real sockets and a path that is slow or cut. */
final class WatchTest {
    private static final long BOUND_SECONDS = 60;

    private sealed interface News {
        record Lost(NodeId node, String why) implements News {}

        record Back(NodeId node) implements News {}

        record Available(NodeId node, Availability availability) implements News {}

        record Heard(Epoch epoch) implements News {}
    }

    private final Vertx nodeVertx = Vertx.vertx();
    private final Vertx ownVertx = Vertx.vertx();
    private final CommandBus nodeBus = CommandBus.install(nodeVertx);
    private final Identity nodeIdentity = Identity.create();
    private final BlockingQueue<News> news = new LinkedBlockingQueue<>();
    private final QuicEndpoint node = endpoint(nodeVertx, nodeIdentity, Role.NODE, "127.0.0.1");
    private final QuicEndpoint own = endpoint(ownVertx, Identity.create(), Role.COORDINATOR, "127.0.0.1");
    private final Context context = ownVertx.getOrCreateContext();

    private static QuicEndpoint endpoint(Vertx vertx, Identity identity, Role role, String host) {
        return await(QuicEndpoint.open(
                vertx,
                identity,
                new QuicEndpoint.Settings(
                        new Endpoint(host, 0), List.of(), role, "test", null, "test", QuicEndpoint.PROTOCOL)));
    }

    @AfterEach
    void close() {
        await(ownVertx.close());
        await(nodeVertx.close());
    }

    @Test
    void aProcessThatEndsIsNoticedByItsWire() {
        guard();
        watch(node.contact(), Epoch.FIRST);
        awaitHeard(3);
        await(nodeVertx.close());
        assertEquals(new News.Lost(node.nodeId(), "its process has ended"), next(News.Lost.class));
    }

    /** The bus lets a member go long after it was frozen, while it is there again. */
    @Test
    void whatTheBusSaysIsPassedOverWhileTheWireHolds() {
        guard();
        Watch watch = watch(node.contact(), Epoch.FIRST);
        awaitHeard(5);
        context.runOnContext(_ -> watch.ended(node.nodeId()));
        awaitHeard(5);
        await(nodeVertx.close());
        assertEquals(new News.Lost(node.nodeId(), "its process has ended"), next(News.Lost.class));
    }

    @Test
    void aCutPathIsSilenceAndAMendedOneBringsTheNodeBack() {
        guard();
        try (var path = new UdpPath(node.bound(), UdpPath.Conditions.of(0, 1), 1)) {
            watch(new Contact(node.nodeId(), List.of(path.entrance())), Epoch.FIRST);
            awaitHeard(3);
            path.cut(true);
            assertTrue(next(News.Lost.class).why().startsWith("it has been silent for "));
            path.cut(false);
            assertEquals(new News.Back(node.nodeId()), next(News.Back.class));
        }
    }

    /** A node may be found in the DHT before all of it is up. */
    @Test
    void oneThatTakesNoBeatsYetIsAskedAgain() {
        watch(node.contact(), Epoch.FIRST);
        assertTrue(next(News.Lost.class).why().startsWith("it has been silent for "));
        guard();
        assertEquals(new News.Back(node.nodeId()), next(News.Back.class));
    }

    @Test
    void aSlowPathIsNotTakenForADeadNode() {
        guard();
        try (var path = new UdpPath(node.bound(), UdpPath.Conditions.of(0.02, 150), 2)) {
            watch(new Contact(node.nodeId(), List.of(path.entrance())), Epoch.FIRST);
            awaitHeard(25);
        }
    }

    @Test
    void whoRestsIsRelievedAndWorksAgain() {
        guard();
        Watch watch = watch(node.contact(), Epoch.FIRST);
        awaitHeard(1);
        CompletableFuture<Frame.Rested> resting = CompletableFuture.supplyAsync(() -> rest(node.bound(), true));
        assertEquals(new News.Available(node.nodeId(), Availability.RESTING), next(News.Available.class));
        assertTrue(!resting.isDone(), "its work is still there");
        context.runOnContext(_ -> watch.relieve(node.nodeId()));
        assertEquals(new Frame.Rested(Availability.RESTING, true), within(resting));
        assertEquals(new Frame.Rested(Availability.WORKING, true), rest(node.bound(), false));
        assertEquals(new News.Available(node.nodeId(), Availability.WORKING), next(News.Available.class));
    }

    @Test
    void whoLeavesUnwatchedNeedNotWait() {
        guard();
        assertEquals(true, await(leave()));
    }

    @Test
    void whoLeavesWaitsUntilItsWorkIsElsewhere() {
        guard();
        Watch watch = watch(node.contact(), Epoch.FIRST);
        awaitHeard(1);
        Future<Boolean> leaving = leave();
        assertEquals(new News.Available(node.nodeId(), Availability.LEAVING), next(News.Available.class));
        context.runOnContext(_ -> watch.relieve(node.nodeId()));
        assertEquals(true, await(leaving));
        PeerRefusedException late = assertThrows(PeerRefusedException.class, () -> rest(node.bound(), true));
        assertEquals(ErrorCode.BUSY, late.code());
    }

    @Test
    void nobodyTakesOverInTime() {
        guard("cluster.drainSeconds=1");
        watch(node.contact(), Epoch.FIRST);
        awaitHeard(1);
        assertEquals(new Frame.Rested(Availability.RESTING, false), rest(node.bound(), true));
    }

    @Test
    void theNewestEpochThatAnybodyGaveOutIsHeardOf() {
        guard();
        watch(node.contact(), new Epoch(41));
        awaitHeard(1);
        news.clear();
        var other = Vertx.vertx();
        try {
            QuicEndpoint second = endpoint(other, Identity.create(), Role.COORDINATOR, "127.0.0.1");
            CompletableFuture<Epoch> heard = new CompletableFuture<>();
            other.getOrCreateContext()
                    .runOnContext(_ -> new Watch(
                                    other, second, () -> Epoch.FIRST, Liveness.Bounds.CLOSE, new Watch.Listener() {
                                        @Override
                                        public void lost(NodeId id, String why) {}

                                        @Override
                                        public void back(NodeId id) {}

                                        @Override
                                        public void availability(NodeId id, Availability availability) {}

                                        @Override
                                        public void heardOf(Epoch epoch) {
                                            heard.complete(epoch);
                                        }
                                    })
                            .over(node.contact()));
            assertEquals(new Epoch(41), within(heard));
        } finally {
            await(other.close());
        }
    }

    @Test
    void onlyTheOwnerMaySendAMachineToRest() throws Exception {
        InetAddress outside = NetworkInterface.networkInterfaces()
                .flatMap(NetworkInterface::inetAddresses)
                .filter(address -> address instanceof java.net.Inet4Address && !address.isLoopbackAddress())
                .findFirst()
                .orElse(null);
        assumeTrue(outside != null, "this machine has no address but loopback's");
        Vertx vertx = Vertx.vertx();
        try {
            Identity identity = Identity.create();
            QuicEndpoint open = endpoint(vertx, identity, Role.NODE, outside.getHostAddress());
            await(vertx.deployVerticle(
                    new GuardVerticle(open, CommandBus.install(vertx), new ProfileReader().read(), Role.NODE)));
            PeerRefusedException refused = assertThrows(
                    PeerRefusedException.class,
                    () -> OwnerClient.rest(open.bound(), true, Identity.create(), null, "test"));
            assertEquals(ErrorCode.NOT_ALLOWED, refused.code());
            assertEquals(
                    new Frame.Rested(Availability.RESTING, true),
                    OwnerClient.rest(open.bound(), true, identity, null, "test"));
        } finally {
            await(vertx.close());
        }
    }

    private void guard(String... settings) {
        var reader = new ProfileReader().set("cluster.name=test");
        for (String setting : settings) {
            reader.set(setting);
        }
        await(nodeVertx.deployVerticle(new GuardVerticle(node, nodeBus, reader.read(), Role.NODE)));
    }

    private Future<Boolean> leave() {
        return nodeBus.ask(Addresses.LEAVE, new Local.Leave(), Boolean.class);
    }

    private static Frame.Rested rest(Endpoint node, boolean rest) {
        return OwnerClient.rest(node, rest, Identity.create(), null, "test");
    }

    /** Watches the node closely. */
    private Watch watch(Contact contact, Epoch epoch) {
        CompletableFuture<Watch> made = new CompletableFuture<>();
        context.runOnContext(_ -> {
            var watch = new Watch(ownVertx, own, () -> epoch, Liveness.Bounds.CLOSE, new Watch.Listener() {
                @Override
                public void lost(NodeId id, String why) {
                    news.add(new News.Lost(id, why));
                }

                @Override
                public void back(NodeId id) {
                    news.add(new News.Back(id));
                }

                @Override
                public void availability(NodeId id, Availability availability) {
                    news.add(new News.Available(id, availability));
                }

                @Override
                public void heardOf(Epoch heard) {
                    news.add(new News.Heard(heard));
                }
            });
            watch.serve(Set.of(contact.id()));
            watch.over(contact);
            made.complete(watch);
        });
        return within(made);
    }

    /** Waits for so many answers; nothing else may come. */
    private void awaitHeard(int count) {
        for (int i = 0; i < count; i++) {
            assertInstanceOf(News.Heard.class, take());
        }
    }

    private <T extends News> T next(Class<T> kind) {
        News news = take();
        while (news instanceof News.Heard) {
            news = take();
        }
        return assertInstanceOf(kind, news);
    }

    private News take() {
        try {
            News next = news.poll(BOUND_SECONDS, TimeUnit.SECONDS);
            assertTrue(next != null, "no news came");
            return next;
        } catch (InterruptedException interrupted) {
            throw new IllegalStateException(interrupted);
        }
    }

    private static <T> T await(Future<T> future) {
        return within(future.toCompletionStage().toCompletableFuture());
    }

    private static <T> T within(CompletableFuture<T> future) {
        return future.orTimeout(BOUND_SECONDS, TimeUnit.SECONDS).join();
    }
}
