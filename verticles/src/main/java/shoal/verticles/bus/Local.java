package shoal.verticles.bus;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.ByteRange;
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

    /**
     * A fetch knows what it is about, and the file is begun in the store.
     *
     * @param wanted the hash that was asked for
     */
    record FetchBegun(Hash256 wanted, Hash256 piecesRoot) implements Local {}

    /** Somebody waits for these pieces: they are to be fetched before others, in their order. */
    record FetchFirst(Hash256 piecesRoot, int firstPiece, int pieceCount) implements Local {}

    /** These pieces of a file are now in the store. */
    record PiecesVerified(Hash256 piecesRoot, int firstPiece, int pieceCount) implements Local {}

    /** A whole file is in the store. */
    record FileStored(Hash256 piecesRoot, Hash256 infoHash, String name, long size) implements Local {}

    /**
     * May these bytes be sent, by another way than that of pieces? The answer comes when it is their turn under the limits.
     *
     * @param to for whom, by any name; each has the same share
     * @param bytes at most 1 GiB
     */
    record AskUpload(String to, long bytes) implements Local {}

    /** They may; once they are sent, or can't be, an {@link UploadSent} with this ticket must follow. */
    record UploadTurn(long ticket) implements Local {}

    record UploadSent(long ticket) implements Local {}

    /** Nobody of this name is sent to any more. */
    record UploadLeft(String to) implements Local {}

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
     * @param coming what to wait with for bytes that are not here yet; null if nothing comes any more
     */
    record OpenStage(
            Path file,
            Hash256 piecesRoot,
            Hash256 infoHash,
            LayerRange layers,
            @Nullable Integer shardId,
            @Nullable List<ByteRange> here,
            @Nullable Coming coming)
            implements Local {
        /** Of a file that lies there. */
        public OpenStage(
                Path file,
                Hash256 piecesRoot,
                Hash256 infoHash,
                LayerRange layers,
                @Nullable Integer shardId,
                @Nullable List<ByteRange> here) {
            this(file, piecesRoot, infoHash, layers, shardId, here, null);
        }
    }

    /** Bytes of a file that is being fetched. Called from any thread but an event loop. */
    interface Coming {
        boolean holds(long offset, long size);

        /** Waits until these bytes are here and verified. @throws IOException in one line if they won't come */
        void await(long offset, long size) throws IOException, InterruptedException;

        /** So many layers, from the first on, have been taken over: the stage waits for the next. */
        void layersReady(int count);
    }

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

    /** This process is to end: hand over what others gave it to do. */
    record Leave() implements Local {}

    /** What this process computes on is gone, and does not come back before it is started again. */
    record DeviceLost(String message) implements Local {}

    /** A process of the cluster is gone. */
    record MemberLost(NodeId node) implements Local {}

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
     * @param chances whether each token's log probability is told
     * @param user who asks: generations of one user share what others leave
     * @param form how it is told to its client, for another coordinator that may go on with it; null if none should
     */
    record StartGeneration(
            String id,
            Prompt prompt,
            int maxTokens,
            Sampling sampling,
            List<String> stop,
            boolean chances,
            String user,
            @Nullable String form)
            implements Local {}

    /** An answer that another coordinator began is told here, from its first token on. @param form as it was begun with */
    record GenerationInherited(String id, String form, GenerationAccepted accepted) implements Local {}

    /** The generation runs. */
    record GenerationAccepted(String model, int promptTokens) implements Local {}

    /** A token, its bytes, and how likely the model held it. */
    record TokenChance(int token, byte[] bytes, float logProbability) {}

    /** Which node runs which layers, and with which kernels. */
    record StageRun(NodeId node, LayerRange layers, String kernels) {}

    /** Nobody listens any more. */
    record CancelGeneration(String id) implements Local {}

    /** What comes of a generation: pieces, then one of the others. */
    sealed interface GenerationNews extends Local {
        /**
         * One token.
         *
         * @param text that can be shown now
         * @param chances the token itself and after it the likeliest ones, if log probabilities were asked for, else none
         */
        record Piece(String text, List<TokenChance> chances) implements GenerationNews {}

        /**
         * @param text what was held back until the end
         * @param stopped true for an end that the model or a stop text chose, false for the limit
         * @param stages that computed the last token
         * @param recoveries how often other machines took over for one that was lost
         * @param exact whether all machines that computed for it compute the same bits
         */
        record Ended(
                String text,
                boolean stopped,
                int tokens,
                long firstTokenMicros,
                long totalMicros,
                List<StageRun> stages,
                int recoveries,
                boolean exact)
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
     * @param accepting whether requests are taken: it is ready, or others are about to take over for a machine that was lost
     * @param trouble why it is not ready, else empty
     * @param nodes the machines that answered just now
     */
    record SwarmState(
            @Nullable String model,
            boolean ready,
            boolean accepting,
            String trouble,
            int generations,
            List<NodeState> nodes)
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

    /** What have stages and the ways between them done so far? */
    record AskWork() implements Local {}

    /** Of each model that is served. */
    record Work(List<ModelWork> models) implements Local {}

    /**
     * What one model's stages were measured to take.
     *
     * @param hops how many tokens tell what lies between the stages
     * @param hopMedianMicros what each way from machine to machine adds to a token; 0 before the first
     * @param hopSlowMicros the same of the slowest in a hundred
     * @param replayedPositions that were sent once more to stages that took over
     * @param copiedPositions of which these had copies instead
     */
    record ModelWork(
            String model,
            long hops,
            long hopMedianMicros,
            long hopSlowMicros,
            long replayedPositions,
            long copiedPositions,
            List<StageWork> stages) {}

    /** By its own word, since its pipeline has so many stages. */
    record StageWork(NodeId node, LayerRange layers, long busyMicros, long tokens, long batches) {}

    /** How would layers be placed now, and what is each node worth? @param sequences as the profile's, null for that */
    record AskPlan(@Nullable Integer sequences) implements Local {}

    /** The plan, as {@code shoal.codec.pipeline.PlanReport} tells it. */
    record PlanTold(Map<String, Object> report) implements Local {}

    /** Generate some tokens, and have every stage say what went in and out. */
    record AskProof(String prompt, int tokens) implements Local {}

    /**
     * What the swarm consists of, and what its stages noted of one generation.
     *
     * @param modelRoot pieces root of the whole model
     * @param unsplit whether all shards are cut from the one file of the whole model
     * @param bootstrap addresses of those who know the DHT
     * @param files what the model consists of
     * @param stages in order; receipts of one that did not tell are missing
     * @param tokens that were generated
     * @param trouble why there is no generation, else empty
     */
    record Proof(
            String model,
            Hash256 modelRoot,
            boolean unsplit,
            String cluster,
            List<String> bootstrap,
            List<ProvenFile> files,
            List<ProvenStage> stages,
            List<Integer> promptTokens,
            List<Integer> tokens,
            String trouble)
            implements Local {}

    /** A file of the model, and who is to have its layers loaded. */
    record ProvenFile(
            String name, LayerRange layers, Hash256 piecesRoot, Hash256 infoHash, long size, List<NodeId> nodes) {}

    /** One stage and its note. */
    record ProvenStage(
            NodeId node,
            LayerRange layers,
            boolean loaded,
            long tokensIn,
            @Nullable Hash256 hashIn,
            long tokensOut,
            @Nullable Hash256 hashOut,
            String trouble) {}
}
