package shoal.bridge.kernel.device;

/** A driver refused a call. The message names the device, the call and the driver's code. Stages on it can't go on. */
public final class DeviceException extends RuntimeException {
    private static final long serialVersionUID = 1;

    public DeviceException(String message) {
        super(message);
    }
}
