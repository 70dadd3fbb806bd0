package shoal.bridge.kernel.device;

/** A compiled kernel of one {@link Device}, which owns it. */
public interface DeviceFunction {
    String name();
}
