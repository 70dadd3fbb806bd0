package shoal.codec.base;

/** Bytes from outside are not what their format says. The message is one line: what was found, and what is allowed. */
public final class MalformedException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public MalformedException(String message) {
        super(message);
    }

    public MalformedException(String message, Throwable cause) {
        super(message, cause);
    }
}
