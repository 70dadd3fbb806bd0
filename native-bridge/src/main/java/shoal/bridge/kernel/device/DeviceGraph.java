package shoal.bridge.kernel.device;

/** A row of launches, asked for in one go as often as one likes. Dies with the buffers that it names; twice closed is once. */
public interface DeviceGraph extends DeviceResource {
    @Override
    void close();
}
