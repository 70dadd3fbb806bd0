package shoal.bridge.kernel;

/** What a stage computes on is gone, and with it the stage: another machine has to take over. Running it again fails likewise. */
public final class StageLostException extends RuntimeException {
    private static final long serialVersionUID = 1;

    public StageLostException(String message, Throwable cause) {
        super(message, cause);
    }
}
