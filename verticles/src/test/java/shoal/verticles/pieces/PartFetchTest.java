package shoal.verticles.pieces;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static shoal.verticles.pieces.Peer.await;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletionException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import shoal.bridge.model.ModelFile;
import shoal.codec.base.ByteRange;
import shoal.codec.base.Endpoint;
import shoal.codec.base.LayerRange;
import shoal.codec.gguf.LayerBytes;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.metainfo.MerkleTree;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import shoal.codec.swarm.Bitfield;
import shoal.codec.wire.Role;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.Local;
import shoal.verticles.store.StoredFile;

/** Cuts of an unmodified model file on their way, and what is here already. */
class PartFetchTest {
    @TempDir
    Path directory;

    private final List<Peer> peers = new ArrayList<>();
    private byte[] bytes;
    private Metainfo model;
    private Path file;

    @BeforeEach
    void read() throws IOException {
        try (InputStream in = PartFetchTest.class.getResourceAsStream("/models/stories-q8_0.gguf")) {
            bytes = in.readAllBytes();
        }
        var tree = new MerkleTree(Pieces.of(bytes.length));
        tree.add(java.nio.ByteBuffer.wrap(bytes), BlockHasher.plain());
        model = Metainfo.of("stories.gguf", tree.finish());
        file = directory.resolve("seeds/stories.gguf");
        Peer.write(file, bytes);
    }

    @AfterEach
    void close() {
        peers.forEach(Peer::close);
    }

    private Peer peer(String name, Role role, String... settings) {
        return peer(name, role, List.of(), settings);
    }

    private Peer peer(String name, Role role, List<Endpoint> origins, String... settings) {
        var peer = new Peer(directory.resolve(name), role, origins, settings);
        peers.add(peer);
        return peer;
    }

    private Peer seeder() {
        return peer("seeder", Role.NODE, "store.seedDirectory=" + file.getParent());
    }

    private Local.FileFetched fetch(Peer to, Local.Part part, Peer... from) {
        var hints = Arrays.stream(from).map(Peer::contact).toList();
        return await(to.bus.ask(
                Addresses.FETCH,
                new Local.FetchFile(model.piecesRoot(), "stories.gguf", hints, part),
                Local.FileFetched.class));
    }

    private static Local.Part layers(int first, int last) {
        return new Local.Part.Layers(new LayerRange(first, last));
    }

    private Bitfield covering(int first, int last) throws IOException {
        try (ModelFile whole = ModelFile.open(file)) {
            List<ByteRange> ranges = LayerBytes.of(whole.header(), bytes.length, new LayerRange(first, last));
            return StoredFile.covering(model.pieces(), ranges);
        }
    }

    private long bytesOf(Bitfield pieces) {
        long sum = 0;
        for (int piece = pieces.nextSet(0); piece >= 0; piece = pieces.nextSet(piece + 1)) {
            sum += model.pieces().sizeOf(piece);
        }
        return sum;
    }

    private void requireRight(StoredFile held) throws IOException {
        byte[] found = Files.readAllBytes(held.path());
        assertEquals(bytes.length, found.length);
        for (int piece = held.verified().nextSet(0);
                piece >= 0;
                piece = held.verified().nextSet(piece + 1)) {
            int from = (int) model.pieces().offsetOf(piece);
            int to = from + model.pieces().sizeOf(piece);
            assertEquals(-1, Arrays.mismatch(bytes, from, to, found, from, to), "piece " + piece);
        }
    }

    private static long network(Local.FileFetched fetched) {
        Map<Local.Source, Long> by = fetched.bytesBySource();
        return by.get(Local.Source.PEERS) + by.get(Local.Source.RENDEZVOUS) + by.get(Local.Source.HTTP);
    }

    /** The header comes in steps of at least 256 KiB, so a little more than the cut may travel, and never twice. */
    @Test
    void onlyThePiecesOfTheLayersTravelAndOnlyMissingOnesWhenTheyChange() throws IOException {
        Peer seeder = seeder();
        Peer node = peer("node", Role.NODE);
        Local.FileFetched first = fetch(node, layers(4, 5), seeder);
        StoredFile held = node.store.find(model.piecesRoot()).orElseThrow();
        Bitfield start = StoredFile.covering(model.pieces(), List.of(new ByteRange(0, 256 << 10)));
        assertEquals(covering(4, 5).or(start), held.verified());
        assertEquals(bytesOf(covering(4, 5).or(start)), network(first));
        assertEquals(bytesOf(covering(4, 5)), first.size());
        assertEquals(held.path(), first.path());
        assertTrue(bytesOf(held.verified()) < bytes.length / 2, held.verified().toString());
        requireRight(held);

        Local.FileFetched more = fetch(node, layers(4, 6), seeder);
        assertEquals(
                bytesOf(covering(4, 6).minus(held.verified())), network(more), "only what was missing has travelled");
        requireRight(node.store.find(model.piecesRoot()).orElseThrow());

        Local.FileFetched again = fetch(node, layers(5, 6));
        assertEquals(0, network(again), "nobody needs to be asked for what is here");

        Local.FileFetched whole = fetch(node, new Local.Part.Whole(), seeder);
        assertEquals(
                bytes.length,
                network(first) + network(more) + network(whole),
                "all three fetches together brought each byte once");
        assertEquals(-1, Files.mismatch(file, whole.path()));
    }

    @Test
    void aCutIsServedOn() throws IOException {
        Peer seeder = seeder();
        Peer middle = peer("middle", Role.NODE);
        fetch(middle, layers(2, 4), seeder);
        seeder.close();
        Peer node = peer("node", Role.NODE);
        Local.FileFetched fetched = fetch(node, layers(3, 4), middle);
        assertEquals(bytesOf(covering(3, 4)), fetched.size());
        requireRight(node.store.find(model.piecesRoot()).orElseThrow());
    }

    @Test
    void twoCutsAtOnceBringNoByteTwice() throws IOException {
        Peer seeder = seeder();
        Peer node = peer("node", Role.NODE);
        var hints = List.of(seeder.contact());
        var one = node.bus.ask(
                Addresses.FETCH,
                new Local.FetchFile(model.piecesRoot(), "stories.gguf", hints, layers(1, 4)),
                Local.FileFetched.class);
        var other = node.bus.ask(
                Addresses.FETCH,
                new Local.FetchFile(model.infoHash().hash(), "stories.gguf", hints, layers(3, 6)),
                Local.FileFetched.class);
        long travelled = network(await(one)) + network(await(other));
        assertEquals(bytesOf(node.store.find(model.piecesRoot()).orElseThrow().verified()), travelled);
    }

    @Test
    void layersThatAreNotThereAndFilesThatAreNoModelsFailInOneLine() {
        Peer seeder = seeder();
        Peer node = peer("node", Role.NODE);
        var none = assertThrows(CompletionException.class, () -> fetch(node, layers(5, 8), seeder));
        assertEquals(
                "stories.gguf: layers 5-8 are asked for, the model has 0-7",
                none.getCause().getMessage());
        Peer.write(file.resolveSibling("noise.gguf"), new byte[200_000]);
        Peer other = peer("other", Role.NODE, "store.seedDirectory=" + file.getParent());
        var tree = new MerkleTree(Pieces.of(200_000));
        tree.add(java.nio.ByteBuffer.allocate(200_000), BlockHasher.plain());
        var wanted =
                new Local.FetchFile(tree.finish().piecesRoot(), "noise.gguf", List.of(other.contact()), layers(0, 1));
        var noModel = assertThrows(
                CompletionException.class, () -> await(node.bus.ask(Addresses.FETCH, wanted, Local.FileFetched.class)));
        assertTrue(
                String.valueOf(noModel.getCause().getMessage()).startsWith("noise.gguf: this is not a GGUF file"),
                noModel.getCause()::getMessage);
    }

    @Test
    void whatLiesHereUnderAnotherNameDoesNotTravel() throws IOException {
        Path models = Files.createDirectories(directory.resolve("models"));
        byte[] part = bytes.clone();
        Arrays.fill(part, 1 << 20, 2 << 20, (byte) 7);
        Files.write(models.resolve("sha256-0123"), part);
        Peer seeder = seeder();
        Peer node = peer("node", Role.NODE, "store.lookIn=" + models);
        Local.FileFetched fetched = fetch(node, new Local.Part.Whole(), seeder);
        assertEquals(1 << 20, network(fetched));
        assertEquals(bytes.length - (1L << 20), fetched.bytesBySource().get(Local.Source.LOCAL));
        assertEquals(-1, Files.mismatch(file, fetched.path()));

        Path whole = Files.write(models.resolve("whole"), bytes);
        Peer alone = peer("alone", Role.NODE, "store.lookIn=" + models);
        Local.FileFetched found = fetch(alone, new Local.Part.Whole());
        assertEquals(0, network(found));
        assertEquals(bytes.length, found.bytesBySource().get(Local.Source.LOCAL));
        assertEquals(whole.toRealPath(), found.path(), "used where it lies");
        assertFalse(Files.exists(alone.store.shardsDirectory().resolve("stories.gguf")));
    }
}
