package shoal.codec.wire;

import static shoal.codec.base.Bounds.requireRange;
import static shoal.codec.base.Bounds.requireText;

import java.nio.ByteBuffer;
import java.util.List;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Epoch;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.NodeId;
import shoal.codec.base.Varint;

/**
 * One message on a stream. The record's components stand on the wire in this order. A text is its UTF-8 size and bytes, a
 * list its count and elements, a hash 32 bytes, an address its host (text) and port, a contact its id and addresses.
 */
public sealed interface Frame {
    /** A text that a person reads: a name, a reason. */
    int MAX_TEXT_BYTES = 1024;

    int MAX_CONTACTS = 64;
    int MAX_RECORDS = 64;

    /** The kind of message. */
    FrameType type();

    // ---------------------------------------------------------------------------------------------- CONTROL

    /**
     * The first frame of a connection, from who opened it.
     *
     * @param software name and version, for the reader of a log
     * @param cluster the cluster it belongs to; empty for a tool that belongs to none
     * @param endpoints where it takes connections, none if it doesn't
     * @param secretProof HMAC-SHA256 of the cluster's secret over both node ids; {@link Hash256#ZERO} without a secret
     */
    record Hello(String software, Role role, String cluster, List<Endpoint> endpoints, Hash256 secretProof)
            implements Frame {
        public Hello {
            requireText("software", software, MAX_TEXT_BYTES);
            requireText("cluster", cluster, MAX_TEXT_BYTES);
            requireRange("endpoints", endpoints.size(), 0, Contact.MAX_ENDPOINTS);
            endpoints = List.copyOf(endpoints);
        }

        @Override
        public FrameType type() {
            return FrameType.HELLO;
        }
    }

    /**
     * The answer to {@link Hello}.
     *
     * @param observed the address that the connection came from
     * @param busMembers TCP addresses through which the cluster's event bus is joined; empty for a stranger to the cluster
     * @param secretProof as in {@link Hello}, with the ids in the other order
     */
    record Welcome(
            String software,
            Role role,
            String cluster,
            List<Endpoint> endpoints,
            Endpoint observed,
            List<Endpoint> busMembers,
            Hash256 secretProof)
            implements Frame {
        public static final int MAX_BUS_MEMBERS = 32;

        public Welcome {
            requireText("software", software, MAX_TEXT_BYTES);
            requireText("cluster", cluster, MAX_TEXT_BYTES);
            requireRange("endpoints", endpoints.size(), 0, Contact.MAX_ENDPOINTS);
            requireRange("bus members", busMembers.size(), 0, MAX_BUS_MEMBERS);
            endpoints = List.copyOf(endpoints);
            busMembers = List.copyOf(busMembers);
        }

        @Override
        public FrameType type() {
            return FrameType.WELCOME;
        }
    }

    /** The answer to any question that can't be answered; the last frame of its stream where the stream is one question. */
    record Refused(ErrorCode code, String message) implements Frame {
        public Refused {
            requireText("message", message, MAX_TEXT_BYTES);
        }

        @Override
        public FrameType type() {
            return FrameType.REFUSED;
        }
    }

    // -------------------------------------------------------------------------------------------------- DHT

    /** Are you there? */
    record Ping() implements Frame {
        @Override
        public FrameType type() {
            return FrameType.PING;
        }
    }

    /** I am. */
    record Pong() implements Frame {
        @Override
        public FrameType type() {
            return FrameType.PONG;
        }
    }

    /** Asks for the contacts closest to a target (Kademlia paper, section 2.3). */
    record FindNode(Hash256 target) implements Frame {
        @Override
        public FrameType type() {
            return FrameType.FIND_NODE;
        }
    }

    /** The closest contacts that the answerer knows, closest first. */
    record Nodes(List<Contact> contacts) implements Frame {
        public Nodes {
            requireRange("contacts", contacts.size(), 0, MAX_CONTACTS);
            contacts = List.copyOf(contacts);
        }

        @Override
        public FrameType type() {
            return FrameType.NODES;
        }
    }

    /** Asks who provides a key. */
    record FindProviders(Hash256 key) implements Frame {
        @Override
        public FrameType type() {
            return FrameType.FIND_PROVIDERS;
        }
    }

    /** The records under the key, and contacts closer to it. */
    record Providers(List<SignedRecord> records, List<Contact> closer) implements Frame {
        public Providers {
            requireRange("records", records.size(), 0, MAX_RECORDS);
            requireRange("contacts", closer.size(), 0, MAX_CONTACTS);
            records = List.copyOf(records);
            closer = List.copyOf(closer);
        }

        @Override
        public FrameType type() {
            return FrameType.PROVIDERS;
        }
    }

    /** Asks to keep a record until it expires. */
    record AddProvider(SignedRecord record) implements Frame {
        @Override
        public FrameType type() {
            return FrameType.ADD_PROVIDER;
        }
    }

    /** Whether the record is kept now. */
    record ProviderAdded(boolean kept) implements Frame {
        @Override
        public FrameType type() {
            return FrameType.PROVIDER_ADDED;
        }
    }

    // ----------------------------------------------------------------------------------------------- PIECES

    /** Asks which files the peer seeds. */
    record ListFiles() implements Frame {
        @Override
        public FrameType type() {
            return FrameType.LIST_FILES;
        }
    }

    /** One seeded file. */
    record FileEntry(Hash256 infoHash, Hash256 piecesRoot, String name, long size) {
        public FileEntry {
            requireText("file name", name, 255);
            requireRange("size", size, 0, 1L << 60);
        }
    }

    /** What the peer seeds. */
    record FileList(List<FileEntry> files) implements Frame {
        public static final int MAX_FILES = 4096;

        public FileList {
            requireRange("files", files.size(), 0, MAX_FILES);
            files = List.copyOf(files);
        }

        @Override
        public FrameType type() {
            return FrameType.FILE_LIST;
        }
    }

    /** Asks for a file's metadata by its info-hash or its pieces root. */
    record RequestMetadata(Hash256 hash) implements Frame {
        @Override
        public FrameType type() {
            return FrameType.REQUEST_METADATA;
        }
    }

    /**
     * A file's metadata (BEP 52).
     *
     * @param info the bencoded info dictionary, whose SHA-256 is the info-hash
     * @param pieceLayer the hashes of all pieces, 32 bytes each; empty for a file of one piece
     */
    record Metadata(ByteBuffer info, ByteBuffer pieceLayer) implements Frame {
        public static final int MAX_INFO_BYTES = 64 * 1024;
        public static final int MAX_PIECE_LAYER_BYTES = 2 * 1024 * 1024;

        public Metadata {
            requireRange("info size", info.remaining(), 1, MAX_INFO_BYTES);
            requireRange("piece layer size", pieceLayer.remaining(), 0, MAX_PIECE_LAYER_BYTES);
            info = info.asReadOnlyBuffer();
            pieceLayer = pieceLayer.asReadOnlyBuffer();
        }

        @Override
        public FrameType type() {
            return FrameType.METADATA;
        }
    }

    /** Asks which pieces of a file the peer holds, and to be told of each further one on this stream. */
    record Follow(Hash256 piecesRoot) implements Frame {
        @Override
        public FrameType type() {
            return FrameType.FOLLOW;
        }
    }

    /** The verified pieces that the sender holds: one bit a piece, the first piece in the highest bit of the first byte. */
    record Holding(Hash256 piecesRoot, ByteBuffer bitfield) implements Frame {
        public static final int MAX_BITFIELD_BYTES = Metadata.MAX_PIECE_LAYER_BYTES / 32 / 8;

        public Holding {
            requireRange("bitfield size", bitfield.remaining(), 0, MAX_BITFIELD_BYTES);
            bitfield = bitfield.asReadOnlyBuffer();
        }

        @Override
        public FrameType type() {
            return FrameType.HOLDING;
        }
    }

    /** The sender has just verified these pieces too. */
    record Have(Hash256 piecesRoot, int firstPiece, int pieceCount) implements Frame {
        public Have {
            requireRange("first piece", firstPiece, 0, 8 * Holding.MAX_BITFIELD_BYTES);
            requireRange("piece count", pieceCount, 1, 8 * Holding.MAX_BITFIELD_BYTES);
        }

        @Override
        public FrameType type() {
            return FrameType.HAVE;
        }
    }

    /**
     * The sender has given these pieces to another, and wants them fetched there: first copies go to everybody, the others come
     * from each other.
     */
    record Placed(Hash256 piecesRoot, int firstPiece, int pieceCount) implements Frame {
        public Placed {
            requireRange("first piece", firstPiece, 0, 8 * Holding.MAX_BITFIELD_BYTES);
            requireRange("piece count", pieceCount, 1, 8 * Holding.MAX_BITFIELD_BYTES);
        }

        @Override
        public FrameType type() {
            return FrameType.PLACED;
        }
    }

    /** Others who follow the same file at the sender, and take connections; unasked, and again when there are more. */
    record Followers(Hash256 piecesRoot, List<Contact> contacts) implements Frame {
        public Followers {
            requireRange("contacts", contacts.size(), 1, MAX_CONTACTS);
            contacts = List.copyOf(contacts);
        }

        @Override
        public FrameType type() {
            return FrameType.FOLLOWERS;
        }
    }

    /** Asks for neighbouring blocks. Blocks are 16 KiB and counted over the whole file; the last may be shorter (BEP 52). */
    record RequestPiece(Hash256 piecesRoot, long firstBlock, int blockCount) implements Frame {
        /** 4 MiB: one request must not fill a peer's send buffer. */
        public static final int MAX_BLOCKS = 256;

        public RequestPiece {
            requireRange("first block", firstBlock, 0, 1L << 46);
            requireRange("block count", blockCount, 1, MAX_BLOCKS);
        }

        @Override
        public FrameType type() {
            return FrameType.REQUEST_PIECE;
        }
    }

    /** The blocks asked for, all of them. */
    record PieceData(Hash256 piecesRoot, long firstBlock, ByteBuffer data) implements Frame {
        public static final int MAX_DATA_BYTES = RequestPiece.MAX_BLOCKS * 16 * 1024;

        public PieceData {
            requireRange("first block", firstBlock, 0, 1L << 46);
            requireRange("data size", data.remaining(), 1, MAX_DATA_BYTES);
        }

        @Override
        public FrameType type() {
            return FrameType.PIECE_DATA;
        }
    }

    /** The blocks asked for won't come. */
    record PieceRefused(Hash256 piecesRoot, long firstBlock, ErrorCode code) implements Frame {
        @Override
        public FrameType type() {
            return FrameType.PIECE_REFUSED;
        }
    }

    /** Withdraws a {@link RequestPiece} that may not have been answered yet. */
    record CancelRequest(Hash256 piecesRoot, long firstBlock, int blockCount) implements Frame {
        public CancelRequest {
            requireRange("first block", firstBlock, 0, 1L << 46);
            requireRange("block count", blockCount, 1, RequestPiece.MAX_BLOCKS);
        }

        @Override
        public FrameType type() {
            return FrameType.CANCEL_REQUEST;
        }
    }

    // ------------------------------------------------------------------------------------------------ STAGE

    /** Token ids from the coordinator to the first stage, slice after slice. */
    record TokenBatch(BatchHead head, List<Integer> tokens) implements Frame {
        public TokenBatch {
            requireRange("stage", head.stage(), 0, 0);
            requireRange("tokens", tokens.size(), head.tokenCount(), head.tokenCount());
            tokens = List.copyOf(tokens);
        }

        @Override
        public FrameType type() {
            return FrameType.TOKEN_BATCH;
        }
    }

    /**
     * What one stage hands to the next. Its payload is a header of 32 bytes, the slices, the busy times and the values. The header:
     * pipeline (8), epoch (4), micro-batch (4), stage (2), last stage (2), slices (2), busy times (2), hidden size (4), activation
     * type (2), tokens (2). The values: token count × hidden size, little-endian, row-major.
     *
     * @param busyMicros how long each stage before computed, in order; rounded as the wire rounds them
     */
    record Activation(
            BatchHead head, ActivationType activationType, int hiddenSize, List<Integer> busyMicros, ByteBuffer values)
            implements Frame {
        public static final int HEADER_BYTES = 32;
        public static final int MAX_POSITION = 1 << 27;
        public static final int MAX_HIDDEN = 1 << 17;
        public static final int MAX_VALUES_BYTES = 64 * 1024 * 1024;

        public Activation {
            requireRange("hidden size", hiddenSize, 1, MAX_HIDDEN);
            if (!activationType.fits(hiddenSize)) {
                throw new IllegalArgumentException("hidden size is " + hiddenSize + ", for " + activationType
                        + " only multiples of " + ActivationType.BLOCK + " are allowed");
            }
            busyMicros = roundedTimes(busyMicros);
            long size = (long) head.tokenCount() * activationType.sizeBytes(hiddenSize);
            requireRange("values", values.remaining(), size, size);
            requireRange("values", size, 1, MAX_VALUES_BYTES);
        }

        @Override
        public FrameType type() {
            return FrameType.ACTIVATION;
        }
    }

    private static List<Integer> roundedTimes(List<Integer> busyMicros) {
        requireRange("busy times", busyMicros.size(), 0, GenerationStarted.MAX_STAGES);
        return busyMicros.stream().map(BusyTime::rounded).toList();
    }

    /**
     * A chosen token.
     *
     * @param position of the token in its sequence
     * @param top the likeliest tokens, as many as were asked for, likeliest first
     * @param state with which the next token is chosen, here or elsewhere
     */
    record SampledToken(
            long session, int position, int token, float logProbability, List<TokenLogprob> top, SamplingState state) {
        public SampledToken {
            requireRange("position", position, 0, Activation.MAX_POSITION);
            requireRange("token", token, 0, Integer.MAX_VALUE);
            requireRange("top log probabilities", top.size(), 0, Sampling.MAX_LOGPROBS);
            top = List.copyOf(top);
        }
    }

    /**
     * A micro-batch has passed its last stage, which tells the coordinator what it chose; nothing for the part of a prompt.
     *
     * @param busyMicros how long each stage computed that it passed, in order; rounded as the wire rounds them
     */
    record TokensSampled(
            long pipeline, Epoch epoch, int microBatch, List<Integer> busyMicros, List<SampledToken> tokens)
            implements Frame {
        public static final int MAX_TOKENS = 1024;

        public TokensSampled {
            busyMicros = roundedTimes(busyMicros);
            requireRange("tokens", tokens.size(), 0, MAX_TOKENS);
            tokens = List.copyOf(tokens);
        }

        @Override
        public FrameType type() {
            return FrameType.TOKENS_SAMPLED;
        }
    }

    /**
     * How the tokens of a sequence are to be chosen. From the coordinator through all stages to the last one, so that it is there before
     * the first activations are.
     *
     * @param stage index in the pipeline of who takes it; all but the last one hand it on
     * @param promptSize how many tokens of the sequence were not generated
     * @param state with which the next token is to be chosen
     */
    record OpenSequence(
            long pipeline, Epoch epoch, int stage, long session, int promptSize, SamplingState state, Sampling sampling)
            implements Frame {
        public OpenSequence {
            requireRange("stage", stage, 0, GenerationStarted.MAX_STAGES - 1);
            requireRange("prompt size", promptSize, 0, Activation.MAX_POSITION);
        }

        /** As it goes on to the next stage. */
        public OpenSequence next() {
            return new OpenSequence(pipeline, epoch, stage + 1, session, promptSize, state, sampling);
        }

        @Override
        public FrameType type() {
            return FrameType.OPEN_SEQUENCE;
        }
    }

    /**
     * Tokens of a sequence, behind {@link OpenSequence} on the same way, where sampling looks back at them. The last stage adds those
     * that it samples.
     *
     * @param stage index in the pipeline of who takes it; all but the last one hand it on
     * @param firstPosition of the first token in its sequence, from 0; what was known from there on is replaced
     */
    record SequenceTokens(long pipeline, Epoch epoch, int stage, long session, int firstPosition, List<Integer> tokens)
            implements Frame {
        public SequenceTokens {
            requireRange("stage", stage, 0, GenerationStarted.MAX_STAGES - 1);
            requireRange("first position", firstPosition, 0, Activation.MAX_POSITION);
            requireRange("tokens", tokens.size(), 1, BatchHead.MAX_TOKENS);
            tokens = List.copyOf(tokens);
        }

        /** As it goes on to the next stage. */
        public SequenceTokens next() {
            return new SequenceTokens(pipeline, epoch, stage + 1, session, firstPosition, tokens);
        }

        @Override
        public FrameType type() {
            return FrameType.SEQUENCE_TOKENS;
        }
    }

    /**
     * The coordinator asks a stage to send once more what it sent of these slices, to a stage that took over behind it. The head's stage is
     * who has logged it; the ones behind, up to the last stage, work on it. Nothing is sampled.
     */
    record Replay(BatchHead head) implements Frame {
        public Replay {
            requireRange("last stage", head.lastStage(), head.stage() + 1, GenerationStarted.MAX_STAGES - 1);
        }

        @Override
        public FrameType type() {
            return FrameType.REPLAY;
        }
    }

    /**
     * Sequences that nobody needs any more; from the coordinator to each stage.
     *
     * @param beforeMicroBatch a sequence that a micro-batch of this number or a later one has touched is kept
     */
    record Release(long pipeline, int beforeMicroBatch, List<Long> sessions) implements Frame {
        public static final int MAX_SESSIONS = 1024;

        public Release {
            requireRange("sessions", sessions.size(), 1, MAX_SESSIONS);
            sessions = List.copyOf(sessions);
        }

        @Override
        public FrameType type() {
            return FrameType.RELEASE;
        }
    }

    /**
     * Keys and values of some of a sequence's positions, as the stage that computed them has them; to a node that stands by for the stage.
     * They are final: the sequence has gone on behind them.
     *
     * @param shard pieces root of the file that the layers are of
     * @param layers of the stage that sends them
     * @param firstPosition of a page
     * @param positions how many they are, whole pages
     * @param order in which the sender's kernels add numbers; of others they are no use
     * @param pages as {@code shoal.bridge.kernel.KeyValuePages} seals them
     */
    record KeyValues(
            long pipeline,
            Hash256 shard,
            LayerRange layers,
            long session,
            int firstPosition,
            int positions,
            String order,
            ByteBuffer pages)
            implements Frame {
        public static final int MAX_BYTES = 16 * 1024 * 1024;
        public static final int MAX_ORDER_BYTES = 256;

        public KeyValues {
            requireRange("first position", firstPosition, 0, Activation.MAX_POSITION);
            requireRange("positions", positions, 1, Activation.MAX_POSITION - firstPosition);
            requireText("order", order, MAX_ORDER_BYTES);
            requireRange("bytes of pages", pages.remaining(), 1, MAX_BYTES);
        }

        /** The position behind the last one. */
        public int end() {
            return firstPosition + positions;
        }

        @Override
        public FrameType type() {
            return FrameType.KEY_VALUES;
        }
    }

    /**
     * The coordinator names to a stage the node that stands by for it, which gets copies of its keys and values while there is nothing
     * better to do.
     *
     * @param to null for nobody any more
     */
    record CopyTo(
            long pipeline, Epoch epoch, int stage, @Nullable Contact to) implements Frame {
        public CopyTo {
            requireRange("stage", stage, 0, GenerationStarted.MAX_STAGES - 1);
        }

        @Override
        public FrameType type() {
            return FrameType.COPY_TO;
        }
    }

    /**
     * A stage could not do a micro-batch; to the coordinator. {@link ErrorCode#NOT_FOUND}: it lacks earlier positions of the sessions,
     * which are to be computed again. {@link ErrorCode#LOST}: the next stage is gone.
     *
     * @param sessions who must not go on; of the micro-batch's others nothing was computed either
     */
    record StageFailed(long pipeline, Epoch epoch, int microBatch, List<Long> sessions, ErrorCode code, String message)
            implements Frame {
        public StageFailed {
            requireRange("sessions", sessions.size(), 0, Slice.MAX_SLICES);
            requireText("message", message, MAX_TEXT_BYTES);
            sessions = List.copyOf(sessions);
        }

        @Override
        public FrameType type() {
            return FrameType.STAGE_FAILED;
        }
    }

    // ------------------------------------------------------------------------------------------------ WATCH

    /**
     * Whoever watches over machines asks one of them whether it is alive.
     *
     * @param epoch the newest that the asker gave out; who stands behind an older one than another does is not obeyed
     * @param number counts the questions on this stream
     */
    record Beat(Epoch epoch, int number) implements Frame {
        public Beat {
            requireRange("number", number, 0, Integer.MAX_VALUE);
        }

        @Override
        public FrameType type() {
            return FrameType.BEAT;
        }
    }

    /**
     * The answer, or, unasked, the news that the machine's availability has changed.
     *
     * @param number of the beat that it answers; that of the last one if nobody asked
     * @param epoch the newest that the machine heard of, from whomever
     * @param wirePort TCP port that takes connections for as long as the process lives, 0 for none
     */
    record BeatBack(int number, Epoch epoch, Availability availability, int wirePort) implements Frame {
        public BeatBack {
            requireRange("number", number, 0, Integer.MAX_VALUE);
            requireRange("wire port", wirePort, 0, 65_535);
        }

        @Override
        public FrameType type() {
            return FrameType.BEAT_BACK;
        }
    }

    /** To a machine that wants to leave or to rest: nothing is computed on it any more. */
    record Relieved(Epoch epoch) implements Frame {
        @Override
        public FrameType type() {
            return FrameType.RELIEVED;
        }
    }

    /** A machine's owner wants it for something else, or gives it back. */
    record Rest(boolean rest) implements Frame {
        @Override
        public FrameType type() {
            return FrameType.REST;
        }
    }

    /**
     * To the owner: it is so.
     *
     * @param relieved whether whoever gave it work has taken that back; false if none answered in time
     */
    record Rested(Availability availability, boolean relieved) implements Frame {
        @Override
        public FrameType type() {
            return FrameType.RESTED;
        }
    }

    // --------------------------------------------------------------------------------------------- GENERATE

    /**
     * Asks the coordinator to go on with a text. The prompt is taken raw, special tokens in it are recognised.
     *
     * @param stop texts before which the generation ends; they are not told
     */
    record Generate(String prompt, int maxTokens, Sampling sampling, List<String> stop) implements Frame {
        public static final int MAX_PROMPT_BYTES = 4 * 1024 * 1024;
        public static final int MAX_TOKENS = 1 << 20;
        public static final int MAX_STOPS = 16;
        public static final int MAX_STOP_BYTES = 256;

        public Generate {
            requireText("prompt", prompt, MAX_PROMPT_BYTES);
            requireRange("max tokens", maxTokens, 1, MAX_TOKENS);
            requireRange("stop texts", stop.size(), 0, MAX_STOPS);
            stop = List.copyOf(stop);
            for (String text : stop) {
                requireText("stop text", text, MAX_STOP_BYTES);
                if (text.isEmpty()) {
                    throw new IllegalArgumentException("a stop text is empty");
                }
            }
        }

        /** Without stop texts. */
        public Generate(String prompt, int maxTokens, Sampling sampling) {
            this(prompt, maxTokens, sampling, List.of());
        }

        @Override
        public FrameType type() {
            return FrameType.GENERATE;
        }
    }

    /** One stage of a running generation. */
    record StageEntry(NodeId node, LayerRange layers) {}

    /** The generation has begun: the prompt's token ids, and who answers. */
    record GenerationStarted(List<Integer> promptTokens, List<StageEntry> stages) implements Frame {
        public static final int MAX_STAGES = 1024;

        public GenerationStarted {
            requireRange("prompt tokens", promptTokens.size(), 0, Generate.MAX_PROMPT_BYTES);
            requireRange("stages", stages.size(), 1, MAX_STAGES);
            promptTokens = List.copyOf(promptTokens);
            stages = List.copyOf(stages);
        }

        @Override
        public FrameType type() {
            return FrameType.GENERATION_STARTED;
        }
    }

    /**
     * One more token. The text is what can be shown now: it may be empty while a character, or a stop text, is not whole yet.
     *
     * @param logProbability of the token by the model
     * @param top the likeliest tokens, as many as were asked for, likeliest first
     */
    record GeneratedToken(int token, String text, float logProbability, List<TokenLogprob> top) implements Frame {
        public GeneratedToken {
            requireText("text", text, MAX_TEXT_BYTES * 16);
            requireRange("top log probabilities", top.size(), 0, Sampling.MAX_LOGPROBS);
            top = List.copyOf(top);
        }

        @Override
        public FrameType type() {
            return FrameType.GENERATED_TOKEN;
        }
    }

    /** Why a generation ended. */
    enum StopReason {
        LENGTH,
        EOS,
        /** A stop text came. */
        STOP
    }

    /**
     * The end of a generation.
     *
     * @param text what was held back of the last characters
     * @param firstTokenMicros from the request's arrival to the first token
     * @param totalMicros from the request's arrival to the last token
     */
    record GenerationDone(StopReason stopped, String text, long firstTokenMicros, long totalMicros) implements Frame {
        public GenerationDone {
            requireText("text", text, MAX_TEXT_BYTES * 16);
        }

        @Override
        public FrameType type() {
            return FrameType.GENERATION_DONE;
        }
    }

    /**
     * How would layers be placed now, and what is each node worth?
     *
     * @param sequences for how many at once; {@link #AS_CONFIGURED} for what the coordinator is set to
     */
    record AskPlan(int sequences) implements Frame {
        public static final int AS_CONFIGURED = -1;
        public static final int MAX_SEQUENCES = 65_536;

        public AskPlan {
            requireRange("sequences", sequences, AS_CONFIGURED, MAX_SEQUENCES);
        }

        @Override
        public FrameType type() {
            return FrameType.ASK_PLAN;
        }
    }

    /** The answer to {@link AskPlan}: a JSON object, as {@code PlanReport} tells it. */
    record Plan(String json) implements Frame {
        public static final int MAX_BYTES = 1 << 20;

        public Plan {
            requireText("plan", json, MAX_BYTES);
        }

        @Override
        public FrameType type() {
            return FrameType.PLAN;
        }
    }

    // ---------------------------------------------------------------------------------------------- JOURNAL

    /** A coordinator that stands by wants to hear of the answers of a model. @param model pieces root of the whole model */
    record FollowJournal(Hash256 model) implements Frame {
        @Override
        public FrameType type() {
            return FrameType.FOLLOW_JOURNAL;
        }
    }

    /**
     * The answer: this coordinator works for the model. What is under way comes now, then what happens.
     *
     * @param term under which it works; a later one outranks it
     */
    record JournalOpened(int term) implements Frame {
        public JournalOpened {
            requireRange("term", term, 1, Integer.MAX_VALUE);
        }

        @Override
        public FrameType type() {
            return FrameType.JOURNAL_OPENED;
        }
    }

    /** From here on these compute. @param order names the order in which they add numbers: alike means the same bits */
    record JournalPlaced(String order, List<StageEntry> stages) implements Frame {
        public JournalPlaced {
            requireText("order", order, MAX_TEXT_BYTES);
            requireRange("stages", stages.size(), 1, GenerationStarted.MAX_STAGES);
            stages = List.copyOf(stages);
        }

        @Override
        public FrameType type() {
            return FrameType.JOURNAL_PLACED;
        }
    }

    /**
     * An answer that was begun, with all that is needed to go on with it elsewhere.
     *
     * @param id by which its client knows it
     * @param form how it is told to the client; the HTTP server's own words
     * @param user who asked
     * @param prompt token ids
     * @param maxTokens how many may be generated
     * @param stop texts before which it ends
     * @param chances whether log probabilities are told
     */
    record JournalBegun(
            String id,
            String form,
            String user,
            List<Integer> prompt,
            int maxTokens,
            Sampling sampling,
            List<String> stop,
            boolean chances)
            implements Frame {
        public JournalBegun {
            requireText("id", id, MAX_TEXT_BYTES);
            requireText("form", form, MAX_TEXT_BYTES);
            requireText("user", user, MAX_TEXT_BYTES);
            requireRange("prompt tokens", prompt.size(), 1, Generate.MAX_PROMPT_BYTES);
            requireRange("max tokens", maxTokens, 1, Generate.MAX_TOKENS);
            requireRange("stop texts", stop.size(), 0, Generate.MAX_STOPS);
            prompt = List.copyOf(prompt);
            stop = List.copyOf(stop);
        }

        @Override
        public FrameType type() {
            return FrameType.JOURNAL_BEGUN;
        }
    }

    /** The answer's next token. @param state with which the one behind it is chosen */
    record JournalToken(String id, int token, float logProbability, List<TokenLogprob> top, SamplingState state)
            implements Frame {
        public JournalToken {
            requireText("id", id, MAX_TEXT_BYTES);
            requireRange("token", token, 0, Integer.MAX_VALUE);
            requireRange("top log probabilities", top.size(), 0, Sampling.MAX_LOGPROBS);
            top = List.copyOf(top);
        }

        @Override
        public FrameType type() {
            return FrameType.JOURNAL_TOKEN;
        }
    }

    /** The answer is whole, or nobody wants it any more. @param whole whether it is to be told once more if asked for */
    record JournalEnded(String id, boolean whole, StopReason reason) implements Frame {
        public JournalEnded {
            requireText("id", id, MAX_TEXT_BYTES);
        }

        @Override
        public FrameType type() {
            return FrameType.JOURNAL_ENDED;
        }
    }

    /** So many frames behind {@link JournalOpened} have come; what a client is told waits for this. */
    record JournalHeard(long frames) implements Frame {
        public JournalHeard {
            requireRange("frames", frames, 0, Varint.MAX);
        }

        @Override
        public FrameType type() {
            return FrameType.JOURNAL_HEARD;
        }
    }

    // ------------------------------------------------------------------------------------------------- DOOR

    /**
     * An HTTP request that another coordinator is to answer.
     *
     * @param method GET or POST
     * @param path with its query
     * @param lastEventId as the header of that name, empty for none
     * @param user the machine that asked
     */
    record DoorAsk(String method, String path, String lastEventId, String user, ByteBuffer body) implements Frame {
        public static final int MAX_BODY_BYTES = 8 << 20;
        public static final int MAX_PATH_BYTES = 8 * 1024;

        public DoorAsk {
            requireText("method", method, 16);
            requireText("path", path, MAX_PATH_BYTES);
            requireText("last event", lastEventId, MAX_TEXT_BYTES);
            requireText("user", user, MAX_TEXT_BYTES);
            requireRange("body", body.remaining(), 0, MAX_BODY_BYTES);
        }

        @Override
        public FrameType type() {
            return FrameType.DOOR_ASK;
        }
    }

    /** The answer begins. @param contentType as the header of that name, empty for none */
    record DoorHead(int status, String contentType) implements Frame {
        public DoorHead {
            requireRange("status", status, 100, 599);
            requireText("content type", contentType, MAX_TEXT_BYTES);
        }

        @Override
        public FrameType type() {
            return FrameType.DOOR_HEAD;
        }
    }

    /** More of the answer; it ends with the stream. */
    record DoorBytes(ByteBuffer bytes) implements Frame {
        public static final int MAX_BYTES = 64 * 1024;

        public DoorBytes {
            requireRange("bytes", bytes.remaining(), 0, MAX_BYTES);
        }

        @Override
        public FrameType type() {
            return FrameType.DOOR_BYTES;
        }
    }
}
