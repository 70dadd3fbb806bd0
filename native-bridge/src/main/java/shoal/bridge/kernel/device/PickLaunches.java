package shoal.bridge.kernel.device;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Arrays;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.TopLogits;

/** Looks for the highest logits on the device, so that the others need not leave it. */
final class PickLaunches implements DeviceResource {
    /** Of a row. */
    static final int MOST = 64;

    /** As choices.cl has them: logits that a group looks through, and stretches of a row. */
    private static final int STRETCH = 4_096;

    private static final int ITEMS = 256;
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final KernelUnit LAYERS = new KernelUnit.Layers();

    private final Device device;
    private final GrowingBuffer stretches;
    private final GrowingBuffer picked;

    PickLaunches(Device device) {
        this.device = device;
        stretches = new GrowingBuffer(device);
        picked = new GrowingBuffer(device);
    }

    /** How many can be picked of a row. */
    static int most(int vocabulary) {
        return Math.ceilDiv(vocabulary, STRETCH) > ITEMS ? 0 : Math.min(MOST, vocabulary);
    }

    /** How many are picked of each row, if one of them asks for so many: a power of two, so that few graphs differ in it. */
    static int count(int[] picks, int vocabulary) {
        int most = Arrays.stream(picks).max().orElse(0);
        return most <= 1 ? most : Math.min(most(vocabulary), Integer.highestOneBit(most - 1) << 1);
    }

    /** Of each row of logits. */
    void launch(DeviceSlot logits, int rows, int count) {
        int vocabulary = logits.width();
        int groups = Math.ceilDiv(vocabulary, STRETCH);
        DeviceBuffer parts = stretches.reserve((long) rows * groups * (2 + 2L * count) * Float.BYTES);
        device.launch(
                device.function(LAYERS, "pick_stretch"),
                groups,
                rows,
                ITEMS,
                1,
                new Argument.Memory(logits.values()),
                new Argument.Memory(parts),
                new Argument.Whole(vocabulary),
                new Argument.Whole(count),
                new Argument.Whole(groups));
        device.launch(
                device.function(LAYERS, "pick_join"),
                rows,
                1,
                ITEMS,
                1,
                new Argument.Memory(parts),
                new Argument.Memory(picked.reserve(rows * TopLogits.rowBytes(count, vocabulary))),
                new Argument.Whole(count),
                new Argument.Whole(groups));
    }

    /** Fills a batch's output, some of whose rows are picks and some whole. */
    void read(StageBatch batch, DeviceSlot logits, int count) {
        int vocabulary = logits.width();
        long pickedBytes = TopLogits.rowBytes(count, vocabulary);
        int[] picks = batch.picks();
        MemorySegment found = MemorySegment.ofArray(new int[(int) (picks.length * pickedBytes / Integer.BYTES)]);
        device.read(picked.buffer(), 0, found);
        long at = 0;
        for (int row = 0; row < picks.length; row++) {
            long bytes = TopLogits.rowBytes(picks[row], vocabulary);
            MemorySegment to = batch.output().asSlice(at, bytes);
            if (picks[row] == 0) {
                device.read(logits.values(), row * bytes, to);
            } else {
                long from = row * pickedBytes;
                long first = (1L + picks[row]) * Integer.BYTES;
                MemorySegment.copy(found, from, to, 0, first);
                MemorySegment.copy(found, INT, from + (1L + count) * Integer.BYTES, to, INT, first, picks[row]);
            }
            at += bytes;
        }
    }

    @Override
    public void close() {
        stretches.close();
        picked.close();
    }
}
