package shoal.verticles.pieces;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static shoal.verticles.pieces.Peer.await;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.command.Command;
import shoal.codec.command.EnvelopeCodec;
import shoal.codec.command.Result;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.metainfo.MerkleTree;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import shoal.codec.wire.Role;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.Local;
import shoal.verticles.inferencestage.InferenceStageVerticle;
import shoal.verticles.inferencestage.StageHost;
import shoal.verticles.shardloader.ShardLoaderVerticle;
import shoal.verticles.store.StoreCatalog;
import shoal.verticles.store.StoredFile;

/** LOAD_SHARD for some layers of an unmodified model file that a rendezvous seeds. */
class LayersLoadTest {
    @TempDir
    Path directory;

    private final List<Peer> peers = new ArrayList<>();

    @AfterEach
    void close() {
        peers.forEach(Peer::close);
    }

    private Result.ShardReady load(Peer node, int shardId, LayerRange layers, Hash256 hash) {
        var command = new Command.LoadShard(shardId, "stories.gguf", layers, hash);
        return await(node.bus.ask(Addresses.LOAD_SHARD, command, Result.ShardReady.class));
    }

    @Test
    void layersOfAWholeFileAreFetchedAndOpened() throws Exception {
        byte[] bytes = model();
        Path seeds = directory.resolve("seeds");
        Peer.write(seeds.resolve("stories.gguf"), bytes);
        var rendezvous =
                new Peer(directory.resolve("rendezvous"), Role.RENDEZVOUS, List.of(), "store.seedDirectory=" + seeds);
        peers.add(rendezvous);
        var node = new Peer(
                directory.resolve("node"),
                Role.NODE,
                List.of(rendezvous.endpoint.bound()),
                "torrent.enabled=true",
                "compute.contextLength=64");
        peers.add(node);
        var host = new StageHost(node.profile.compute());
        await(node.vertx.deployVerticle(new InferenceStageVerticle(node.endpoint, node.bus, node.profile, host)));
        await(node.vertx.deployVerticle(new ShardLoaderVerticle(node.endpoint, node.bus, node.profile, node.store)));
        var told = new LinkedBlockingQueue<Command.ShardProgress>();
        node.bus.onBroadcast(text -> {
            if (EnvelopeCodec.readRequest(text).command() instanceof Command.ShardProgress progress) {
                told.add(progress);
            }
        });
        Hash256 root = rendezvous.store.list().getFirst().piecesRoot();

        Result.ShardReady ready = load(node, 7, new LayerRange(4, 6), root);
        assertEquals(new LayerRange(4, 6), ready.layers());
        StoredFile held = node.store.find(root).orElseThrow();
        assertFalse(held.isWhole());
        assertTrue(held.heldBytes() < bytes.length / 2, held.verified().toString());
        Command.ShardProgress progress = told.poll(20, TimeUnit.SECONDS);
        assertTrue(progress != null && progress.shardId() == 7 && progress.size() < bytes.length, () -> "" + progress);
        Local.Loaded loaded = await(node.bus.ask(Addresses.LOADED, new Local.AskLoaded(), Local.Loaded.class));
        assertEquals(new LayerRange(4, 6), loaded.shards().getFirst().layers());
        var catalog = StoreCatalog.open(node.root, node.store.shardsDirectory());
        awaitUsers(catalog, List.of("layers 4-6"));

        load(node, 7, new LayerRange(7, 7), root); // as the file is cut later, with the same number
        assertEquals(2, host.loaded().size());
        var older = new Command.UnloadShard(7, new LayerRange(4, 6), root);
        await(node.bus.ask(Addresses.UNLOAD_SHARD, older, Result.ShardDropped.class));
        awaitUsers(catalog, List.of("layers 7-7"));
        assertEquals(new LayerRange(7, 7), host.loaded().getFirst().layers());
        assertThrows(
                CompletionException.class,
                () -> await(node.bus.ask(Addresses.UNLOAD_SHARD, older, Result.ShardDropped.class)));

        var wrong = assertThrows(CompletionException.class, () -> load(node, 9, new LayerRange(7, 8), root));
        assertEquals(
                "stories.gguf: layers 7-8 are asked for, the model has 0-7",
                wrong.getCause().getMessage());
    }

    /** The seeder has the first half alone for a while: by then the loader has taken over what has come, and says so. */
    @Test
    void theFirstLayersAreTakenOverWhileLaterOnesAreStillAway() throws Exception {
        byte[] bytes = model();
        var tree = new MerkleTree(Pieces.of(bytes.length));
        tree.add(ByteBuffer.wrap(bytes), BlockHasher.plain());
        Metainfo file = Metainfo.of("stories.gguf", tree.finish());
        var node = new Peer(
                directory.resolve("node"), Role.NODE, List.of(), "torrent.enabled=true", "compute.contextLength=64");
        peers.add(node);
        var host = new StageHost(node.profile.compute());
        await(node.vertx.deployVerticle(new InferenceStageVerticle(node.endpoint, node.bus, node.profile, host)));
        await(node.vertx.deployVerticle(new ShardLoaderVerticle(node.endpoint, node.bus, node.profile, node.store)));
        var told = new LinkedBlockingQueue<Command.ShardProgress>();
        node.bus.onBroadcast(text -> {
            if (EnvelopeCodec.readRequest(text).command() instanceof Command.ShardProgress progress) {
                told.add(progress);
            }
        });
        try (var seeder = ScriptedSeeder.ofFirst(file.pieces().count() / 2, file, bytes)) {
            node.hint(seeder.contact());
            var command = new Command.LoadShard(3, "stories.gguf", new LayerRange(0, 7), file.piecesRoot());
            var loading = node.bus.ask(Addresses.LOAD_SHARD, command, Result.ShardReady.class);
            Command.ShardProgress half;
            do {
                half = told.poll(20, TimeUnit.SECONDS);
                assertTrue(half != null, "no layer was taken over before all were here");
            } while (half.layersReady() == null || half.layersReady() < 2);
            assertTrue(half.verifiedBytes() < half.size(), half.toString());
            assertFalse(loading.isComplete());
            assertTrue(host.loaded().isEmpty(), "a stage that lacks layers is not open");
            seeder.open();
            Result.ShardReady ready = await(loading);
            assertEquals(new LayerRange(0, 7), ready.layers());
            assertArrayEquals(bytes, Files.readAllBytes(Path.of(ready.path())));
            assertEquals(1, host.loaded().size());
            assertEquals(
                    ready.path(),
                    await(node.bus.ask(Addresses.LOAD_SHARD, command, Result.ShardReady.class))
                            .path(),
                    "the file has moved since it was opened");
        }
    }

    /** What can't run here is refused before it has been fetched. */
    @Test
    void whatHasNoPlaceInMemoryIsRefusedWhileItComes() throws Exception {
        byte[] bytes = model();
        var tree = new MerkleTree(Pieces.of(bytes.length));
        tree.add(ByteBuffer.wrap(bytes), BlockHasher.plain());
        Metainfo file = Metainfo.of("stories.gguf", tree.finish());
        var node = new Peer(
                directory.resolve("node"),
                Role.NODE,
                List.of(),
                "torrent.enabled=true",
                "compute.contextLength=64",
                "compute.memoryBytes=100000");
        peers.add(node);
        var host = new StageHost(node.profile.compute());
        await(node.vertx.deployVerticle(new InferenceStageVerticle(node.endpoint, node.bus, node.profile, host)));
        await(node.vertx.deployVerticle(new ShardLoaderVerticle(node.endpoint, node.bus, node.profile, node.store)));
        try (var seeder = ScriptedSeeder.ofFirst(file.pieces().count() / 2, file, bytes)) {
            node.hint(seeder.contact());
            var refused = assertThrows(
                    CompletionException.class, () -> load(node, 3, new LayerRange(0, 7), file.piecesRoot()));
            assertTrue(
                    String.valueOf(refused.getCause().getMessage()).contains("compute.memoryBytes"),
                    refused.getCause()::getMessage);
            assertFalse(node.store.find(file.piecesRoot()).orElseThrow().isWhole());
        }
    }

    private static byte[] model() throws IOException {
        try (InputStream in = LayersLoadTest.class.getResourceAsStream("/models/stories-q8_0.gguf")) {
            return in.readAllBytes();
        }
    }

    private static void awaitUsers(StoreCatalog catalog, List<String> users) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (!catalog.find("stories.gguf").users().equals(users)) {
            assertTrue(System.nanoTime() < end, () -> "not used for " + users);
            java.util.concurrent.locks.LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(20));
        }
    }
}
