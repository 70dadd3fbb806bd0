package shoal.codec.wire;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.IntFunction;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.ByteCursor;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Epoch;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.base.NodeId;
import shoal.codec.base.Varint;

/**
 * Bytes of one stream to frames, as they come in. Holds at most one frame that is not whole yet, and nothing is allocated for
 * it before its announced size was checked against its type's bound. After a {@link MalformedException} the stream is dead.
 */
public final class FrameDecoder {
    private static final int MAX_HEAD_BYTES = 2 * Varint.MAX_SIZE_BYTES;

    private static final ByteBuffer NOTHING = ByteBuffer.allocate(0);

    private final StreamKind kind;
    private final byte[] head = new byte[MAX_HEAD_BYTES];
    private int headSize;
    private @Nullable FrameType type;
    private final IntFunction<ByteBuffer> bulk;
    private ByteBuffer payload = NOTHING;

    /** Reads frames behind the stream's kind, which the caller has read. */
    public FrameDecoder(StreamKind kind) {
        this(kind, ByteBuffer::allocate);
    }

    /**
     * The same, with memory of the caller's choice for the bulk of {@link Frame.PieceData}, {@link Frame.Activation} and {@link Frame.KeyValues}.
     *
     * @param bulk gives a buffer with so many bytes remaining, which is the frame's from then on
     */
    public FrameDecoder(StreamKind kind, IntFunction<ByteBuffer> bulk) {
        this.kind = kind;
        this.bulk = bulk;
    }

    /**
     * Takes the stream's next bytes and hands on each frame that is whole. A frame's bulk buffer is its own; the input may be
     * reused.
     *
     * @throws MalformedException if the bytes are no frame that is allowed here
     */
    public void feed(ByteBuffer input, Consumer<Frame> frames) {
        while (input.hasRemaining()) {
            FrameType current = type;
            if (current == null) {
                head[headSize++] = input.get();
                current = parseHead();
                if (current == null) {
                    continue;
                }
            }
            int count = Math.min(input.remaining(), payload.remaining());
            payload.put(payload.position(), input, input.position(), count);
            payload.position(payload.position() + count);
            input.position(input.position() + count);
            if (!payload.hasRemaining()) {
                ByteBuffer whole = payload.flip();
                type = null;
                payload = NOTHING;
                frames.accept(decode(current, whole));
            }
        }
    }

    /** Whether the stream may end here: no frame is half read. */
    public boolean isBetweenFrames() {
        return type == null && headSize == 0;
    }

    private @Nullable FrameType parseHead() {
        int typeSize = Varint.sizeFromFirstByte(head[0]);
        if (headSize <= typeSize || headSize < typeSize + Varint.sizeFromFirstByte(head[typeSize])) {
            return null;
        }
        var cursor = new ByteCursor(ByteBuffer.wrap(head, 0, headSize));
        FrameType parsed = FrameType.ofNumber(cursor.readVarint("frame type", 0, Varint.MAX));
        if (!parsed.isAllowedOn(kind)) {
            throw new MalformedException("frame " + parsed + " is not allowed on a stream of kind " + kind);
        }
        long size = cursor.readVarint(parsed + " size", 0, parsed.maxPayloadBytes());
        payload = parsed == FrameType.PIECE_DATA || parsed == FrameType.ACTIVATION || parsed == FrameType.KEY_VALUES
                ? bulk.apply((int) size)
                : ByteBuffer.allocate((int) size);
        headSize = 0;
        type = parsed;
        return parsed;
    }

    /** Reads one payload. @throws MalformedException with the field and what is allowed */
    public static Frame decode(FrameType type, ByteBuffer payload) {
        var cursor = new ByteCursor(payload);
        try {
            Frame frame = readFields(type, cursor);
            cursor.expectEnd("frame " + type);
            return frame;
        } catch (IllegalArgumentException refused) {
            throw new MalformedException("frame " + type + ": " + refused.getMessage(), refused);
        }
    }

    private static Frame readFields(FrameType type, ByteCursor c) {
        return switch (type) {
            case HELLO ->
                new Frame.Hello(
                        c.readText("software", Frame.MAX_TEXT_BYTES),
                        Role.ofNumber(c.readVarint("role", 0, 255)),
                        c.readText("cluster", Frame.MAX_TEXT_BYTES),
                        readEndpoints(c, Contact.MAX_ENDPOINTS),
                        c.readHash("secret proof"));
            case WELCOME ->
                new Frame.Welcome(
                        c.readText("software", Frame.MAX_TEXT_BYTES),
                        Role.ofNumber(c.readVarint("role", 0, 255)),
                        c.readText("cluster", Frame.MAX_TEXT_BYTES),
                        readEndpoints(c, Contact.MAX_ENDPOINTS),
                        readEndpoint(c),
                        readEndpoints(c, Frame.Welcome.MAX_BUS_MEMBERS),
                        c.readHash("secret proof"));
            case REFUSED ->
                new Frame.Refused(
                        ErrorCode.ofNumber(c.readVarint("error code", 0, Varint.MAX)),
                        c.readText("message", Frame.MAX_TEXT_BYTES));
            case PING -> new Frame.Ping();
            case PONG -> new Frame.Pong();
            case FIND_NODE -> new Frame.FindNode(c.readHash("target"));
            case NODES -> new Frame.Nodes(readContacts(c));
            case FIND_PROVIDERS -> new Frame.FindProviders(c.readHash("key"));
            case PROVIDERS ->
                new Frame.Providers(readList(c, "records", Frame.MAX_RECORDS, 3, () -> readRecord(c)), readContacts(c));
            case ADD_PROVIDER -> new Frame.AddProvider(readRecord(c));
            case PROVIDER_ADDED -> new Frame.ProviderAdded(readFlag(c, "kept"));
            case LIST_FILES -> new Frame.ListFiles();
            case FILE_LIST ->
                new Frame.FileList(readList(
                        c,
                        "files",
                        Frame.FileList.MAX_FILES,
                        66,
                        () -> new Frame.FileEntry(
                                c.readHash("info-hash"),
                                c.readHash("pieces root"),
                                c.readText("file name", 255),
                                c.readVarint("size", 0, Varint.MAX))));
            case REQUEST_METADATA -> new Frame.RequestMetadata(c.readHash("hash"));
            case METADATA -> {
                int size = (int) c.readVarint("info size", 1, Frame.Metadata.MAX_INFO_BYTES);
                yield new Frame.Metadata(c.readSlice("info", size), c.readSlice("piece layer", c.remaining()));
            }
            case FOLLOW -> new Frame.Follow(c.readHash("pieces root"));
            case HOLDING -> {
                var root = c.readHash("pieces root");
                int size = (int) c.readVarint("bitfield size", 0, Frame.Holding.MAX_BITFIELD_BYTES);
                yield new Frame.Holding(root, c.readSlice("bitfield", size));
            }
            case HAVE ->
                new Frame.Have(c.readHash("pieces root"), (int) c.readVarint("first piece", 0, Integer.MAX_VALUE), (int)
                        c.readVarint("piece count", 1, Integer.MAX_VALUE));
            case REQUEST_PIECE ->
                new Frame.RequestPiece(c.readHash("pieces root"), c.readVarint("first block", 0, Varint.MAX), (int)
                        c.readVarint("block count", 1, Frame.RequestPiece.MAX_BLOCKS));
            case PIECE_DATA ->
                new Frame.PieceData(
                        c.readHash("pieces root"),
                        c.readVarint("first block", 0, Varint.MAX),
                        c.readSlice("data", c.remaining()));
            case PIECE_REFUSED ->
                new Frame.PieceRefused(
                        c.readHash("pieces root"),
                        c.readVarint("first block", 0, Varint.MAX),
                        ErrorCode.ofNumber(c.readVarint("error code", 0, Varint.MAX)));
            case CANCEL_REQUEST ->
                new Frame.CancelRequest(c.readHash("pieces root"), c.readVarint("first block", 0, Varint.MAX), (int)
                        c.readVarint("block count", 1, Frame.RequestPiece.MAX_BLOCKS));
            case PLACED ->
                new Frame.Placed(
                        c.readHash("pieces root"), (int) c.readVarint("first piece", 0, Integer.MAX_VALUE), (int)
                                c.readVarint("piece count", 1, Integer.MAX_VALUE));
            case FOLLOWERS -> new Frame.Followers(c.readHash("pieces root"), readContacts(c));
            case TOKEN_BATCH -> new Frame.TokenBatch(readHead(c), readTokens(c, "tokens", BatchHead.MAX_TOKENS));
            case ACTIVATION -> readActivation(c);
            case TOKENS_SAMPLED ->
                new Frame.TokensSampled(
                        c.readLong("pipeline"),
                        readEpoch(c),
                        c.readInt("micro-batch"),
                        readTimes(c, c.readCount("busy times", Frame.GenerationStarted.MAX_STAGES, 2)),
                        readList(c, "tokens", Frame.TokensSampled.MAX_TOKENS, 25, () -> readSampled(c)));
            case OPEN_SEQUENCE ->
                new Frame.OpenSequence(
                        c.readLong("pipeline"),
                        readEpoch(c),
                        c.readUnsignedShort("stage"),
                        c.readLong("session"),
                        c.readInt("prompt size"),
                        new SamplingState(readFloat(c, "mu")),
                        readSampling(c));
            case SEQUENCE_TOKENS ->
                new Frame.SequenceTokens(
                        c.readLong("pipeline"),
                        readEpoch(c),
                        c.readUnsignedShort("stage"),
                        c.readLong("session"),
                        c.readInt("first position"),
                        readTokens(c, "tokens", BatchHead.MAX_TOKENS));
            case REPLAY -> new Frame.Replay(readHead(c));
            case RELEASE ->
                new Frame.Release(
                        c.readLong("pipeline"),
                        c.readInt("micro-batch"),
                        readList(c, "sessions", Frame.Release.MAX_SESSIONS, 8, () -> c.readLong("session")));
            case KEY_VALUES ->
                new Frame.KeyValues(
                        c.readLong("pipeline"),
                        c.readHash("shard"),
                        new LayerRange(c.readUnsignedShort("first layer"), c.readUnsignedShort("last layer")),
                        c.readLong("session"),
                        c.readInt("first position"),
                        c.readInt("positions"),
                        c.readText("order", Frame.KeyValues.MAX_ORDER_BYTES),
                        c.readSlice("pages", c.remaining()));
            case COPY_TO ->
                new Frame.CopyTo(
                        c.readLong("pipeline"),
                        readEpoch(c),
                        c.readUnsignedShort("stage"),
                        readFlag(c, "somebody") ? readContact(c) : null);
            case STAGE_FAILED ->
                new Frame.StageFailed(
                        c.readLong("pipeline"),
                        readEpoch(c),
                        c.readInt("micro-batch"),
                        readList(c, "sessions", Slice.MAX_SLICES, 8, () -> c.readLong("session")),
                        ErrorCode.ofNumber(c.readVarint("error code", 0, Varint.MAX)),
                        c.readText("message", Frame.MAX_TEXT_BYTES));
            case GENERATE -> {
                String prompt = c.readText("prompt", Frame.Generate.MAX_PROMPT_BYTES);
                int maxTokens = (int) c.readVarint("max tokens", 1, Frame.Generate.MAX_TOKENS);
                Sampling sampling = readSampling(c);
                yield new Frame.Generate(prompt, maxTokens, sampling, readStops(c));
            }
            case GENERATION_STARTED ->
                new Frame.GenerationStarted(
                        readTokens(c, "prompt tokens", Frame.Generate.MAX_PROMPT_BYTES), readStages(c));
            case GENERATED_TOKEN ->
                new Frame.GeneratedToken(
                        (int) c.readVarint("token", 0, Integer.MAX_VALUE),
                        c.readText("text", 32 * 1024),
                        readFloat(c, "log probability"),
                        readTop(c));
            case GENERATION_DONE ->
                new Frame.GenerationDone(
                        readStopReason(c),
                        c.readText("text", 32 * 1024),
                        c.readVarint("first token micros", 0, Varint.MAX),
                        c.readVarint("total micros", 0, Varint.MAX));
            case ASK_PLAN -> new Frame.AskPlan((int) c.readVarint("sequences", 0, Frame.AskPlan.MAX_SEQUENCES + 1) - 1);
            case PLAN -> new Frame.Plan(c.readText("plan", Frame.Plan.MAX_BYTES));
            case BEAT -> new Frame.Beat(readEpoch(c), c.readInt("number"));
            case BEAT_BACK ->
                new Frame.BeatBack(
                        c.readInt("number"),
                        readEpoch(c),
                        Availability.ofNumber(c.readUnsignedByte("availability")),
                        c.readUnsignedShort("wire port"));
            case RELIEVED -> new Frame.Relieved(readEpoch(c));
            case REST -> new Frame.Rest(readFlag(c, "rest"));
            case RESTED ->
                new Frame.Rested(Availability.ofNumber(c.readUnsignedByte("availability")), readFlag(c, "relieved"));
            case FOLLOW_JOURNAL -> new Frame.FollowJournal(c.readHash("model"));
            case JOURNAL_OPENED -> new Frame.JournalOpened((int) c.readVarint("term", 1, Integer.MAX_VALUE));
            case JOURNAL_PLACED -> new Frame.JournalPlaced(c.readText("order", Frame.MAX_TEXT_BYTES), readStages(c));
            case JOURNAL_BEGUN -> {
                String id = c.readText("id", Frame.MAX_TEXT_BYTES);
                String form = c.readText("form", Frame.MAX_TEXT_BYTES);
                String user = c.readText("user", Frame.MAX_TEXT_BYTES);
                List<Integer> prompt = readTokens(c, "prompt tokens", Frame.Generate.MAX_PROMPT_BYTES);
                int maxTokens = (int) c.readVarint("max tokens", 1, Frame.Generate.MAX_TOKENS);
                Sampling sampling = readSampling(c);
                yield new Frame.JournalBegun(
                        id, form, user, prompt, maxTokens, sampling, readStops(c), readFlag(c, "chances"));
            }
            case JOURNAL_TOKEN ->
                new Frame.JournalToken(
                        c.readText("id", Frame.MAX_TEXT_BYTES),
                        (int) c.readVarint("token", 0, Integer.MAX_VALUE),
                        readFloat(c, "log probability"),
                        readTop(c),
                        new SamplingState(readFloat(c, "mu")));
            case JOURNAL_ENDED ->
                new Frame.JournalEnded(c.readText("id", Frame.MAX_TEXT_BYTES), readFlag(c, "whole"), readStopReason(c));
            case JOURNAL_HEARD -> new Frame.JournalHeard(c.readVarint("frames", 0, Varint.MAX));
            case DOOR_ASK ->
                new Frame.DoorAsk(
                        c.readText("method", 16),
                        c.readText("path", Frame.DoorAsk.MAX_PATH_BYTES),
                        c.readText("last event", Frame.MAX_TEXT_BYTES),
                        c.readText("user", Frame.MAX_TEXT_BYTES),
                        c.readSlice("body", c.remaining()));
            case DOOR_HEAD ->
                new Frame.DoorHead(c.readUnsignedShort("status"), c.readText("content type", Frame.MAX_TEXT_BYTES));
            case DOOR_BYTES -> new Frame.DoorBytes(c.readSlice("bytes", c.remaining()));
        };
    }

    private static List<Frame.StageEntry> readStages(ByteCursor c) {
        return readList(
                c,
                "stages",
                Frame.GenerationStarted.MAX_STAGES,
                34,
                () -> new Frame.StageEntry(new NodeId(c.readHash("node")), readLayers(c)));
    }

    private static List<String> readStops(ByteCursor c) {
        return readList(
                c,
                "stop texts",
                Frame.Generate.MAX_STOPS,
                1,
                () -> c.readText("stop text", Frame.Generate.MAX_STOP_BYTES));
    }

    private static Frame.StopReason readStopReason(ByteCursor c) {
        int reason = c.readUnsignedByte("stop reason");
        Frame.StopReason[] reasons = Frame.StopReason.values();
        if (reason >= reasons.length) {
            throw new MalformedException("stop reason is " + reason + ", allowed 0.." + (reasons.length - 1));
        }
        return reasons[reason];
    }

    private static float readFloat(ByteCursor c, String field) {
        return Float.intBitsToFloat(c.readInt(field));
    }

    private static List<TokenLogprob> readTop(ByteCursor c) {
        return readList(
                c,
                "top log probabilities",
                Sampling.MAX_LOGPROBS,
                5,
                () -> new TokenLogprob(
                        (int) c.readVarint("token", 0, Integer.MAX_VALUE), readFloat(c, "log probability")));
    }

    private static Sampling readSampling(ByteCursor c) {
        float temperature = readFloat(c, "temperature");
        int topK = (int) c.readVarint("top-k", 0, Sampling.MAX_TOP_K);
        float topP = readFloat(c, "top-p");
        float minP = readFloat(c, "min-p");
        float typicalP = readFloat(c, "typical-p");
        var penalties = new Sampling.Penalties(
                c.readInt("last-n of the penalties"),
                readFloat(c, "repeat penalty"),
                readFloat(c, "frequency penalty"),
                readFloat(c, "presence penalty"));
        var dry = new Sampling.Dry(
                readFloat(c, "DRY multiplier"),
                readFloat(c, "DRY base"),
                (int) c.readVarint("DRY allowed length", 1, Sampling.MAX_LAST_N),
                c.readInt("last-n of DRY"),
                readList(
                        c,
                        "DRY sequence breakers",
                        Sampling.Dry.MAX_BREAKERS,
                        1,
                        () -> c.readText("DRY sequence breaker", Sampling.Dry.MAX_BREAKER_BYTES)));
        var xtc = new Sampling.Xtc(readFloat(c, "XTC probability"), readFloat(c, "XTC threshold"));
        Sampling.Mirostat mirostat = readFlag(c, "mirostat")
                ? new Sampling.Mirostat(readFloat(c, "mirostat tau"), readFloat(c, "mirostat eta"))
                : null;
        List<Sampling.Bias> biases = readList(
                c,
                "logit biases",
                Sampling.MAX_BIASES,
                5,
                () -> new Sampling.Bias((int) c.readVarint("token", 0, Integer.MAX_VALUE), readFloat(c, "logit bias")));
        String grammar = c.readText("grammar", Sampling.MAX_GRAMMAR_BYTES);
        int logprobs = (int) c.readVarint("logprobs", 0, Sampling.MAX_LOGPROBS);
        return new Sampling(
                temperature,
                topK,
                topP,
                minP,
                typicalP,
                penalties,
                dry,
                xtc,
                mirostat,
                biases,
                grammar,
                logprobs,
                c.readLong("seed"));
    }

    private static Frame.Activation readActivation(ByteCursor c) {
        long pipeline = c.readLong("pipeline");
        Epoch epoch = readEpoch(c);
        int number = c.readInt("micro-batch");
        int stage = c.readUnsignedShort("stage");
        int lastStage = c.readUnsignedShort("last stage");
        int slices = readShortCount(c, "slices", Slice.MAX_SLICES);
        int times = readShortCount(c, "busy times", Frame.GenerationStarted.MAX_STAGES);
        int hidden = c.readInt("hidden size");
        ActivationType type = ActivationType.ofNumber(c.readUnsignedShort("activation type"));
        int tokens = c.readUnsignedShort("tokens");
        var head = new BatchHead(pipeline, epoch, number, stage, lastStage, readSlices(c, slices));
        if (tokens != head.tokenCount()) {
            throw new MalformedException("tokens are " + tokens + ", the slices have " + head.tokenCount());
        }
        return new Frame.Activation(head, type, hidden, readTimes(c, times), c.readSlice("values", c.remaining()));
    }

    private static BatchHead readHead(ByteCursor c) {
        return new BatchHead(
                c.readLong("pipeline"),
                readEpoch(c),
                c.readInt("micro-batch"),
                c.readUnsignedShort("stage"),
                c.readUnsignedShort("last stage"),
                readSlices(c, readShortCount(c, "slices", Slice.MAX_SLICES)));
    }

    private static int readShortCount(ByteCursor c, String field, int max) {
        int count = c.readUnsignedShort(field);
        if (count > max) {
            throw new MalformedException(field + " are " + count + ", allowed 0.." + max);
        }
        return count;
    }

    private static List<Slice> readSlices(ByteCursor c, int count) {
        var slices = new ArrayList<Slice>(count);
        for (int i = 0; i < count; i++) {
            long session = c.readLong("session");
            int firstPosition = c.readInt("first position");
            int tokens = c.readUnsignedShort("tokens of a slice");
            int flags = c.readUnsignedByte("flags of a slice");
            if (flags > 15) {
                throw new MalformedException("flags of a slice are " + flags + ", allowed 0..15");
            }
            long parent = (flags & 2) == 0 ? 0 : c.readLong("parent");
            if (parent == 0 && (flags & 2) != 0) {
                throw new MalformedException("the parent of a slice is 0, allowed is a session");
            }
            List<Integer> drafted = (flags & 4) == 0 ? List.of() : readDrafted(c, tokens - 1);
            slices.add(new Slice(session, firstPosition, tokens, (flags & 1) != 0, drafted, parent, (flags & 8) != 0));
        }
        return slices;
    }

    private static List<Integer> readDrafted(ByteCursor c, int count) {
        if (count < 1 || count > Slice.MAX_DRAFTED) {
            throw new MalformedException("drafted tokens are " + count + ", allowed 1.." + Slice.MAX_DRAFTED);
        }
        var drafted = new ArrayList<Integer>(count);
        for (int i = 0; i < count; i++) {
            drafted.add(c.readInt("drafted token"));
        }
        return drafted;
    }

    private static List<Integer> readTimes(ByteCursor c, int count) {
        var times = new ArrayList<Integer>(count);
        for (int i = 0; i < count; i++) {
            times.add(BusyTime.ofShort(c.readUnsignedShort("busy time")));
        }
        return times;
    }

    private static Frame.SampledToken readSampled(ByteCursor c) {
        return new Frame.SampledToken(
                c.readLong("session"),
                c.readInt("position"),
                c.readInt("token"),
                readFloat(c, "log probability"),
                readTop(c),
                new SamplingState(readFloat(c, "mu")));
    }

    static Endpoint readEndpoint(ByteCursor c) {
        return new Endpoint(c.readText("host", Endpoint.MAX_HOST_BYTES), (int) c.readVarint("port", 0, 65_535));
    }

    static Contact readContact(ByteCursor c) {
        return new Contact(new NodeId(c.readHash("node id")), readEndpoints(c, Contact.MAX_ENDPOINTS));
    }

    private static List<Endpoint> readEndpoints(ByteCursor c, int max) {
        return readList(c, "endpoints", max, 2, () -> readEndpoint(c));
    }

    private static List<Contact> readContacts(ByteCursor c) {
        return readList(c, "contacts", Frame.MAX_CONTACTS, 33, () -> readContact(c));
    }

    private static SignedRecord readRecord(ByteCursor c) {
        return new SignedRecord(
                ProviderRecord.parse(c.readSizedBytes("record", SignedRecord.MAX_RECORD_BYTES)),
                c.readSizedBytes("public key", SignedRecord.MAX_KEY_BYTES),
                c.readSizedBytes("signature", SignedRecord.MAX_SIGNATURE_BYTES));
    }

    private static List<Integer> readTokens(ByteCursor c, String field, int max) {
        return readList(c, field, max, 1, () -> (int) c.readVarint("token", 0, Integer.MAX_VALUE));
    }

    private static LayerRange readLayers(ByteCursor c) {
        return new LayerRange((int) c.readVarint("first layer", 0, LayerRange.MAX_LAYERS), (int)
                c.readVarint("last layer", 0, LayerRange.MAX_LAYERS));
    }

    private static Epoch readEpoch(ByteCursor c) {
        return new Epoch(c.readInt("epoch"));
    }

    private static boolean readFlag(ByteCursor c, String field) {
        int value = c.readUnsignedByte(field);
        if (value > 1) {
            throw new MalformedException(field + " is " + value + ", allowed 0..1");
        }
        return value == 1;
    }

    private static <T> List<T> readList(ByteCursor c, String field, int max, int minSizeEach, Supplier<T> element) {
        int count = c.readCount(field, max, minSizeEach);
        var list = new ArrayList<T>(count);
        for (int i = 0; i < count; i++) {
            list.add(element.get());
        }
        return list;
    }
}
