package shoal.bridge.kernel.device;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.RopeTable;

/** Cosines and sines of a {@link RopeTable} for all positions reached so far: (position, pair, 2). Grows by doubling. */
final class AngleTable implements DeviceResource {
    private static final int FIRST_POSITIONS = 256;

    private final Device device;
    private final RopeTable table;
    private @Nullable DeviceBuffer buffer;
    private int positions;

    AngleTable(Device device, RopeTable table) {
        this.device = device;
        this.table = table;
    }

    /** Holds positions 0..count-1 at least. */
    void reserve(int count) {
        if (count <= positions) {
            return;
        }
        int grown = (int) Math.min(Integer.MAX_VALUE, Math.max(count, Math.max(FIRST_POSITIONS, 2L * positions)));
        DeviceBuffer after = device.allocate(bytes(grown));
        DeviceBuffer before = buffer;
        if (before != null) {
            device.copy(before, after, bytes(positions));
            before.close();
        }
        device.write(after, bytes(positions), MemorySegment.ofArray(angles(positions, grown)));
        buffer = after;
        positions = grown;
    }

    private long bytes(int count) {
        return 2L * count * table.pairs() * Float.BYTES;
    }

    /** As the CPU's kernels have them. */
    private float[] angles(int from, int to) {
        int pairs = table.pairs();
        float[] angles = new float[Math.multiplyExact(2 * pairs, to - from)];
        for (int position = from; position < to; position++) {
            for (int i = 0; i < pairs; i++) {
                double angle = position * table.frequencies()[i];
                int at = 2 * ((position - from) * pairs + i);
                angles[at] = (float) StrictMath.cos(angle) * table.magnitude();
                angles[at + 1] = (float) StrictMath.sin(angle) * table.magnitude();
            }
        }
        return angles;
    }

    DeviceBuffer buffer() {
        DeviceBuffer held = buffer;
        if (held == null) {
            throw new IllegalStateException("no position was reserved");
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
