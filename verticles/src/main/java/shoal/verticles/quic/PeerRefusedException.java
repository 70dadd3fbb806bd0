package shoal.verticles.quic;

import shoal.codec.wire.ErrorCode;

/** A peer said no, or could not be reached or trusted. The message is one line: who, why, and what to do. */
public final class PeerRefusedException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final ErrorCode code;

    public PeerRefusedException(ErrorCode code, String message) {
        super(message);
        this.code = code;
    }

    public ErrorCode code() {
        return code;
    }
}
