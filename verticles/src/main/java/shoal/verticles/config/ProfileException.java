package shoal.verticles.config;

/** A profile or an option is not what it may be. One line: where, what was found, what is allowed. */
public final class ProfileException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public ProfileException(String message) {
        super(message);
    }
}
