package shoal.bridge.kernel.device;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageLostException;
import shoal.bridge.kernel.StageProgram;

/**
 * A program on a device. A run copies the batch's description and its input there, asks for all operations in one go, and waits once,
 * for the output. Weights, vectors, keys and values stay on the device from compiling to closing.
 */
final class DeviceStage implements CompiledStage {
    private final StageProgram program;
    private final Device device;
    private final StageResources room;
    private final StageLaunches launches;
    private final LaunchGraphs graphs;

    /** Why nothing runs any more, null while it does. */
    private @Nullable DeviceException lost;

    private boolean closed;

    /**
     * @param products which kernels multiply
     * @param withGraphs whether small batches are launched from graphs
     */
    DeviceStage(StageProgram program, Device device, ProductChoice products, boolean withGraphs) {
        this.program = program;
        this.device = device;
        var plan = new StagePlan(program, device);
        plan.checkBounds();
        plan.checkMemory();
        room = new StageResources(program, device);
        launches = new StageLaunches(program, device, room, products);
        graphs = new LaunchGraphs(device, withGraphs);
        try {
            products.check(program, room);
        } catch (RuntimeException failure) {
            close();
            throw failure;
        }
    }

    @Override
    public SequenceMemory openSequence(int capacity) {
        return new DeviceSequence(room.pool(), capacity);
    }

    @Override
    public int pagesInUse() {
        synchronized (device) {
            return room.pool().used();
        }
    }

    @Override
    public int mostPicks() {
        return program.givesLogits() ? PickLaunches.most(program.output().width()) : 0;
    }

    @Override
    public void run(StageBatch batch) {
        synchronized (device) {
            if (closed) {
                throw new IllegalStateException("the stage is closed");
            }
            DeviceException before = lost;
            if (before != null) {
                throw lost(before);
            }
            try {
                runAlone(batch);
            } catch (DeviceException failure) {
                if (!failure.lost()) {
                    throw failure;
                }
                lost = failure;
                throw lost(failure);
            }
        }
    }

    private StageLostException lost(DeviceException failure) {
        return new StageLostException(
                device.info().id() + " (" + device.info().name() + ") is lost: " + failure.getMessage(), failure);
    }

    private void runAlone(StageBatch batch) {
        batch.check(
                program,
                mostPicks(),
                sequence -> sequence instanceof DeviceSequence ours && ours.pool() == room.pool() && !ours.isClosed());
        int tokens = batch.tokenCount();
        if (tokens == 0) {
            return;
        }
        BatchDescription description = BatchDescription.upload(batch, program, room, device);
        if (!program.readsTokens()) {
            long bytes = (long) tokens * program.input().width() * Float.BYTES;
            device.write(
                    room.slot(program.input()).overwrite(tokens),
                    0,
                    present(batch.input()).asSlice(0, bytes));
        }
        graphs.run(description, () -> launches.run(description));
        if (description.rows() == 0) {
            device.finish();
        } else if (description.picks() > 0) {
            launches.readPicks(batch, description.picks());
        } else {
            Slot output = program.output();
            long bytes = (long) description.rows() * output.width() * Float.BYTES;
            device.read(room.slot(output).values(), 0, batch.output().asSlice(0, bytes));
        }
        if (room.routes()) {
            checkTrouble();
        }
    }

    private void checkTrouble() {
        int[] found = new int[1];
        device.read(room.trouble(), 0, MemorySegment.ofArray(found));
        if (found[0] != 0) {
            device.write(room.trouble(), 0, MemorySegment.ofArray(new int[1]));
            throw new IllegalStateException("the router's output is not a number; the model's weights are damaged");
        }
    }

    private static <T> T present(@Nullable T value) {
        if (value == null) {
            throw new IllegalStateException("checked before, yet missing");
        }
        return value;
    }

    /** How many batches were launched from a graph. */
    long replays() {
        return graphs.replays();
    }

    @Override
    public void close() {
        synchronized (device) {
            closed = true;
            graphs.close();
            launches.close();
            room.close();
        }
    }
}
