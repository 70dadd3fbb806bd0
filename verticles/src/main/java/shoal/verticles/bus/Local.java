package shoal.verticles.bus;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Contact;
import shoal.codec.base.Epoch;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.NodeId;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Sampling;
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
     */
    record FetchFile(Hash256 hash, String name, List<Contact> hints) implements Local {}

    /** The file is whole, verified, and in the store. */
    record FileFetched(Hash256 piecesRoot, Path path, long size, Map<Source, Long> bytesBySource) implements Local {}

    /** How far a fetch is. */
    record FetchProgress(
            Hash256 piecesRoot, String name, long verifiedBytes, long size, Map<Source, Long> bytesBySource)
            implements Local {}

    /** These pieces of a file are now in the store. */
    record PiecesVerified(Hash256 piecesRoot, int firstPiece, int pieceCount) implements Local {}

    /** A whole file is in the store. */
    record FileStored(Hash256 piecesRoot, Hash256 infoHash, String name, long size) implements Local {}

    /** Ask the DHT who provides a key. */
    record FindProviders(Hash256 key) implements Local {}

    record ProvidersFound(List<SignedRecord> records) implements Local {}

    /** Tell the DHT that this node provides a key, and go on telling it. */
    record Announce(Hash256 key, byte[] payload) implements Local {}

    /**
     * Open the layers that lie in a shard file, so that sessions can run on them.
     *
     * @param shardId null for layers that are no numbered shard
     */
    record OpenStage(
            Path file,
            Hash256 piecesRoot,
            Hash256 infoHash,
            LayerRange layers,
            @Nullable Integer shardId) implements Local {}

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

    /** What a generation is to go on with. */
    sealed interface Prompt {
        record Text(String text) implements Prompt {}

        /**
         * A conversation, for the model's own template; values as a JSON reader gives them.
         *
         * @param tools null for none
         * @param variables further ones that the template may read
         */
        record Chat(List<?> messages, @Nullable List<?> tools, Map<String, ? extends @Nullable Object> variables)
                implements Prompt {}
    }

    /**
     * Generate; what comes is told at {@link Addresses#generation}, which whoever asks listens to before.
     *
     * @param id chosen by who asks
     * @param maxTokens at most so many; 0 for as many as the context has room for
     * @param stop texts that end the generation, and are not part of it
     */
    record StartGeneration(String id, Prompt prompt, int maxTokens, Sampling sampling, List<String> stop)
            implements Local {}

    /** The generation runs. */
    record GenerationAccepted(String model, int promptTokens, List<StageRun> stages) implements Local {}

    /** Which node runs which layers, and with which kernels. */
    record StageRun(NodeId node, LayerRange layers, String kernels) {}

    /** Nobody listens any more. */
    record CancelGeneration(String id) implements Local {}

    /** What comes of a generation: pieces, then one of the others. */
    sealed interface GenerationNews extends Local {
        /** One token, and the text that can be shown since the one before it. */
        record Piece(int token, float logProbability, String text) implements GenerationNews {}

        /**
         * @param text what was held back until the end
         * @param stopped true for an end that the model or a stop text chose, false for the limit
         */
        record Ended(String text, boolean stopped, int tokens, long firstTokenMicros, long totalMicros)
                implements GenerationNews {}

        record Broken(ErrorCode code, String message) implements GenerationNews {}
    }

    /**
     * How the swarm is.
     *
     * @param machines whether all machines are asked, which takes up to a second; else none are listed
     */
    record AskSwarm(boolean machines) implements Local {}

    /**
     * @param model null while it is not known
     * @param trouble why it is not ready, else empty
     * @param nodes the machines that answered just now
     */
    record SwarmState(@Nullable String model, boolean ready, String trouble, int generations, List<NodeState> nodes)
            implements Local {}

    /**
     * One machine of the swarm.
     *
     * @param layers that are loaded
     * @param epoch of the pipeline that it computes for, null if it computes for none
     * @param state ready, serving, standby or idle
     */
    record NodeState(
            NodeId node,
            long pid,
            String role,
            List<LayerRange> layers,
            @Nullable Epoch epoch,
            String state,
            String kernels) {}
}
