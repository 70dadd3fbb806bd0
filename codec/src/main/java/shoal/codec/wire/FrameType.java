package shoal.codec.wire;

import shoal.codec.base.MalformedException;

/** The number of each frame on the wire, the kind of stream it may stand on, and the largest payload it may have. */
public enum FrameType {
    HELLO(0x00, StreamKind.CONTROL, 8 * 1024),
    WELCOME(0x01, StreamKind.CONTROL, 32 * 1024),
    /** Allowed on every kind of stream. */
    REFUSED(0x02, StreamKind.CONTROL, 2 * 1024),
    /** Allowed on {@link StreamKind#CONTROL} too, where the transport's acknowledgement is the answer. */
    PING(0x10, StreamKind.DHT, 0),
    PONG(0x11, StreamKind.DHT, 0),
    FIND_NODE(0x12, StreamKind.DHT, 32),
    NODES(0x13, StreamKind.DHT, 160 * 1024),
    FIND_PROVIDERS(0x14, StreamKind.DHT, 32),
    PROVIDERS(0x15, StreamKind.DHT, 512 * 1024),
    ADD_PROVIDER(0x16, StreamKind.DHT, 8 * 1024),
    PROVIDER_ADDED(0x17, StreamKind.DHT, 1),
    LIST_FILES(0x20, StreamKind.PIECES, 0),
    FILE_LIST(0x21, StreamKind.PIECES, 2 * 1024 * 1024),
    REQUEST_METADATA(0x22, StreamKind.PIECES, 32),
    METADATA(0x23, StreamKind.PIECES, Frame.Metadata.MAX_INFO_BYTES + Frame.Metadata.MAX_PIECE_LAYER_BYTES + 16),
    FOLLOW(0x24, StreamKind.PIECES, 32),
    HOLDING(0x25, StreamKind.PIECES, Frame.Holding.MAX_BITFIELD_BYTES + 64),
    HAVE(0x26, StreamKind.PIECES, 48),
    REQUEST_PIECE(0x27, StreamKind.PIECES, 48),
    PIECE_DATA(0x28, StreamKind.PIECES, Frame.PieceData.MAX_DATA_BYTES + 64),
    PIECE_REFUSED(0x29, StreamKind.PIECES, 48),
    CANCEL_REQUEST(0x2a, StreamKind.PIECES, 48),
    PLACED(0x2e, StreamKind.PIECES, 48),
    FOLLOWERS(0x2f, StreamKind.PIECES, 160 * 1024),
    TOKEN_BATCH(0x30, StreamKind.STAGE, 64 * 1024),
    ACTIVATION(
            0x31,
            StreamKind.STAGE,
            Frame.Activation.HEADER_BYTES
                    + (23 + 4 * Slice.MAX_DRAFTED) * Slice.MAX_SLICES
                    + 2 * Frame.GenerationStarted.MAX_STAGES
                    + Frame.Activation.MAX_VALUES_BYTES),
    TOKENS_SAMPLED(0x32, StreamKind.STAGE, 512 * 1024),
    STAGE_FAILED(0x33, StreamKind.STAGE, 4 * 1024),
    SEQUENCE_TOKENS(0x34, StreamKind.STAGE, 32 * 1024),
    OPEN_SEQUENCE(0x35, StreamKind.STAGE, Sampling.MAX_GRAMMAR_BYTES + Sampling.MAX_OTHER_BYTES),
    REPLAY(0x36, StreamKind.STAGE, 8 * 1024),
    RELEASE(0x37, StreamKind.STAGE, 16 * 1024),
    KEY_VALUES(0x38, StreamKind.STAGE, Frame.KeyValues.MAX_BYTES + 512),
    COPY_TO(0x39, StreamKind.STAGE, 4 * 1024),
    GENERATE(
            0x40,
            StreamKind.GENERATE,
            Frame.Generate.MAX_PROMPT_BYTES + Sampling.MAX_GRAMMAR_BYTES + Sampling.MAX_OTHER_BYTES),
    GENERATION_STARTED(0x41, StreamKind.GENERATE, 20 * 1024 * 1024),
    GENERATED_TOKEN(0x42, StreamKind.GENERATE, 32 * 1024),
    GENERATION_DONE(0x43, StreamKind.GENERATE, 32 * 1024),
    ASK_PLAN(0x44, StreamKind.GENERATE, 4),
    PLAN(0x45, StreamKind.GENERATE, Frame.Plan.MAX_BYTES + 8),
    BEAT(0x50, StreamKind.WATCH, 8),
    BEAT_BACK(0x51, StreamKind.WATCH, 16),
    RELIEVED(0x52, StreamKind.WATCH, 4),
    REST(0x53, StreamKind.WATCH, 1),
    RESTED(0x54, StreamKind.WATCH, 2),
    FOLLOW_JOURNAL(0x60, StreamKind.JOURNAL, 32),
    JOURNAL_OPENED(0x61, StreamKind.JOURNAL, 8),
    JOURNAL_PLACED(0x62, StreamKind.JOURNAL, 64 * 1024),
    JOURNAL_BEGUN(
            0x63,
            StreamKind.JOURNAL,
            5 * Frame.Generate.MAX_PROMPT_BYTES + Sampling.MAX_GRAMMAR_BYTES + Sampling.MAX_OTHER_BYTES),
    JOURNAL_TOKEN(0x64, StreamKind.JOURNAL, 2 * 1024),
    JOURNAL_ENDED(0x65, StreamKind.JOURNAL, 2 * 1024),
    JOURNAL_HEARD(0x66, StreamKind.JOURNAL, 8),
    DOOR_ASK(0x70, StreamKind.DOOR, Frame.DoorAsk.MAX_BODY_BYTES + 16 * 1024),
    DOOR_HEAD(0x71, StreamKind.DOOR, 2 * 1024),
    DOOR_BYTES(0x72, StreamKind.DOOR, Frame.DoorBytes.MAX_BYTES);

    private static final FrameType[] BY_NUMBER = new FrameType[0x73];

    static {
        for (FrameType type : values()) {
            BY_NUMBER[type.number] = type;
        }
    }

    private final int number;
    private final StreamKind kind;
    private final int maxPayloadBytes;

    FrameType(int number, StreamKind kind, int maxPayloadBytes) {
        this.number = number;
        this.kind = kind;
        this.maxPayloadBytes = maxPayloadBytes;
    }

    public int number() {
        return number;
    }

    public int maxPayloadBytes() {
        return maxPayloadBytes;
    }

    /** Whether this frame may stand on a stream of that kind. */
    public boolean isAllowedOn(StreamKind stream) {
        boolean pushed = stream == StreamKind.PUSH
                && switch (this) {
                    case METADATA, HOLDING, PIECE_DATA, HAVE, PIECE_REFUSED, FILE_LIST -> true;
                    case HELLO,
                            WELCOME,
                            REFUSED,
                            PING,
                            PONG,
                            FIND_NODE,
                            NODES,
                            FIND_PROVIDERS,
                            PROVIDERS,
                            ADD_PROVIDER,
                            PROVIDER_ADDED,
                            LIST_FILES,
                            REQUEST_METADATA,
                            FOLLOW,
                            REQUEST_PIECE,
                            CANCEL_REQUEST,
                            PLACED,
                            FOLLOWERS,
                            TOKEN_BATCH,
                            ACTIVATION,
                            TOKENS_SAMPLED,
                            STAGE_FAILED,
                            SEQUENCE_TOKENS,
                            OPEN_SEQUENCE,
                            REPLAY,
                            RELEASE,
                            KEY_VALUES,
                            COPY_TO,
                            GENERATE,
                            GENERATION_STARTED,
                            GENERATED_TOKEN,
                            GENERATION_DONE,
                            ASK_PLAN,
                            PLAN,
                            BEAT,
                            BEAT_BACK,
                            RELIEVED,
                            REST,
                            RESTED,
                            FOLLOW_JOURNAL,
                            JOURNAL_OPENED,
                            JOURNAL_PLACED,
                            JOURNAL_BEGUN,
                            JOURNAL_TOKEN,
                            JOURNAL_ENDED,
                            JOURNAL_HEARD,
                            DOOR_ASK,
                            DOOR_HEAD,
                            DOOR_BYTES -> false;
                };
        boolean keepsAlive = this == PING && stream == StreamKind.CONTROL;
        return kind == stream || pushed || keepsAlive || this == REFUSED;
    }

    /** @throws MalformedException for a number that no frame has */
    public static FrameType ofNumber(long number) {
        if (number < 0 || number >= BY_NUMBER.length || BY_NUMBER[(int) number] == null) {
            throw new MalformedException("frame type 0x" + Long.toHexString(number) + " is unknown");
        }
        return BY_NUMBER[(int) number];
    }
}
