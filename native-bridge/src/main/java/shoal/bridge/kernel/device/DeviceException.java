package shoal.bridge.kernel.device;

/** A driver refused a call. The message names the device, the call and the driver's code. */
public final class DeviceException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final boolean lost;

    public DeviceException(String message) {
        this(message, false);
    }

    /** @param lost whether nothing on that device can go on, in this process at least */
    public DeviceException(String message, boolean lost) {
        super(message);
        this.lost = lost;
    }

    public boolean lost() {
        return lost;
    }
}
