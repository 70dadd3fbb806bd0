package shoal.bridge.kernel.device;

import org.jspecify.annotations.Nullable;

/** A buffer that is replaced by a larger one when it has to be; its contents are lost then. */
final class GrowingBuffer implements DeviceResource {
    private final Device device;
    private @Nullable DeviceBuffer buffer;

    GrowingBuffer(Device device) {
        this.device = device;
    }

    /** At least so many bytes. */
    DeviceBuffer reserve(long bytes) {
        DeviceBuffer before = buffer;
        if (before != null && before.bytes() >= bytes) {
            return before;
        }
        if (before != null) {
            buffer = null;
            before.close();
        }
        DeviceBuffer after = device.allocate(bytes);
        buffer = after;
        return after;
    }

    boolean isEmpty() {
        return buffer == null;
    }

    /** What was reserved last. */
    DeviceBuffer buffer() {
        DeviceBuffer held = buffer;
        if (held == null) {
            throw new IllegalStateException("nothing was reserved");
        }
        return held;
    }

    @Override
    public void close() {
        if (buffer != null) {
            buffer.close();
            buffer = null;
        }
    }
}
