package shoal.verticles.bus;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.ByteRange;
import shoal.codec.base.Contact;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.NodeId;
import shoal.codec.wire.SignedRecord;

/** What verticles of one process say to each other; passed as they are, without a copy. */
public sealed interface Local {
    /** From where bytes of a file came. */
    enum Source {
        /** A machine whose job is to hand out files. */
        RENDEZVOUS,
        /** Another node. */
        PEERS,
        HTTP,
        /** They were here already. */
        LOCAL
    }

    /**
     * Get a file into the store and verify it.
     *
     * @param hash its info-hash or its pieces root
     * @param name the name to store it under
     * @param hints who may have it, beside those whom the DHT knows
     * @param part how much of it is needed
     */
    record FetchFile(Hash256 hash, String name, List<Contact> hints, Part part) implements Local {
        /** All of it. */
        public FetchFile(Hash256 hash, String name, List<Contact> hints) {
            this(hash, name, hints, new Part.Whole());
        }
    }

    /** How much of a file is needed. */
    sealed interface Part {
        record Whole() implements Part {}

        /** What comes before the tensors of a model. */
        record Header() implements Part {}

        /** The header and the tensors of some layers of a model; of a shard, all of it. */
        record Layers(LayerRange layers) implements Part {}
    }

    /**
     * What was asked for is verified and in the store.
     *
     * @param path of the file; of a part, the sparse file
     * @param size of the part in whole pieces
     */
    record FileFetched(Hash256 piecesRoot, Path path, long size, Map<Source, Long> bytesBySource) implements Local {}

    /**
     * How far a fetch is.
     *
     * @param size of what was asked for, and verifiedBytes of that
     * @param bytesPerSecond lately; 0 while that is not known
     */
    record FetchProgress(
            Hash256 piecesRoot,
            String name,
            long verifiedBytes,
            long size,
            double bytesPerSecond,
            Map<Source, Long> bytesBySource)
            implements Local {}

    /** These pieces of a file are now in the store. */
    record PiecesVerified(Hash256 piecesRoot, int firstPiece, int pieceCount) implements Local {}

    /** A whole file is in the store. */
    record FileStored(Hash256 piecesRoot, Hash256 infoHash, String name, long size) implements Local {}

    /** Ask the DHT who provides a key. */
    record FindProviders(Hash256 key) implements Local {}

    record ProvidersFound(List<SignedRecord> records) implements Local {}

    /** Tell the DHT that this node provides a key no longer. */
    record Withdraw(Hash256 key) implements Local {}

    /** Tell the DHT that this node provides a key, and go on telling it. */
    record Announce(Hash256 key, byte[] payload) implements Local {}

    /**
     * Open the layers that lie in a shard file, so that sessions can run on them.
     *
     * @param shardId null for layers that are no numbered shard
     * @param here the verified bytes of a sparse file; null for a whole one
     */
    record OpenStage(
            Path file,
            Hash256 piecesRoot,
            Hash256 infoHash,
            LayerRange layers,
            @Nullable Integer shardId,
            @Nullable List<ByteRange> here)
            implements Local {}

    /** The stage runs. */
    record StageOpened(LayerRange layers, long memoryBytes, String kernels) implements Local {}

    record CloseStage(LayerRange layers, Hash256 piecesRoot) implements Local {}

    record AskLoaded() implements Local {}

    /** The shards whose stages are open. */
    record Loaded(List<LoadedShard> shards) implements Local {}

    record LoadedShard(
            @Nullable Integer shardId,
            LayerRange layers,
            Hash256 piecesRoot,
            Hash256 infoHash,
            Path path,
            long memoryBytes,
            String kernels)
            implements Local {}

    /**
     * One of the 19 steps on the way from a file at the rendezvous to a swarm that is ready.
     *
     * @param number 1..19
     */
    record Step(int number, String text) implements Local {}

    /** A token has passed through every stage. */
    record SwarmReady(String model, List<StageOf> stages, List<StageOf> spares) implements Local {}

    /** Which node runs which layers. */
    record StageOf(NodeId node, LayerRange layers) {}

    /** A process of the cluster is gone; which one, the others must be asked. */
    record MemberLost() implements Local {}
}
