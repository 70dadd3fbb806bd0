package shoal.codec.wire;

/** Why a peer refuses, with a sentence for the reader. Unknown numbers are read as {@link #INTERNAL}. */
public enum ErrorCode {
    INTERNAL(0, "The peer failed for a reason of its own."),
    MALFORMED(1, "A frame is not what its format says."),
    VERSION(2, "The peer speaks another version of the protocol."),
    CLUSTER(3, "The peer serves another cluster."),
    SECRET(4, "The cluster's secret is missing or another one."),
    NOT_FOUND(5, "The peer has no such file, piece or session."),
    BUSY(6, "The peer has too much to do; ask again later or elsewhere."),
    EPOCH(7, "The frame belongs to an older set-up of its session."),
    CONTEXT(8, "The request is longer than the model's context."),
    NOT_READY(9, "The swarm cannot answer yet."),
    UNSUPPORTED(10, "The peer's role does not answer this."),
    CANCELLED(11, "The request was withdrawn."),
    LOST(12, "A machine that the request needed is gone."),
    NOT_ALLOWED(13, "The peer does not take this from the one who asks."),
    ELSEWHERE(14, "Another peer was given this piece; ask there first.");

    private final int number;
    private final String sentence;

    ErrorCode(int number, String sentence) {
        this.number = number;
        this.sentence = sentence;
    }

    public int number() {
        return number;
    }

    public String sentence() {
        return sentence;
    }

    public static ErrorCode ofNumber(long number) {
        for (ErrorCode code : values()) {
            if (code.number == number) {
                return code;
            }
        }
        return INTERNAL;
    }
}
