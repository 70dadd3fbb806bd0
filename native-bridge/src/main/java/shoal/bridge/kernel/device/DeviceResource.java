package shoal.bridge.kernel.device;

/** Holds memory of a device until it is closed. */
public interface DeviceResource extends AutoCloseable {
    @Override
    void close();
}
