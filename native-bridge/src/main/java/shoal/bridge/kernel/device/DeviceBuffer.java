package shoal.bridge.kernel.device;

/** Memory of a device. Closing frees it at once, or when the last launch that reads it has ended; twice is once. */
public interface DeviceBuffer extends DeviceResource {
    long bytes();

    @Override
    void close();
}
