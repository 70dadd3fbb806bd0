package shoal.bridge.kernel.device;

import java.util.Arrays;
import java.util.Locale;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.StageProgram;

/**
 * Launches attention. Where heads and tokens are too few to keep a device busy and the context is long, each partition of a head has a
 * group of its own, and a second kernel adds up what they give; else one group makes a head. Results are the same to the last bit.
 */
final class AttentionLaunches implements DeviceResource {
    private static final int WIDE_LANES = 64;
    private static final int TEAMS = 4;

    /** Positions of a partition, as attention.cl has them. */
    static final int PARTITION = TEAMS * WIDE_LANES;

    /** As many groups keep any device busy. */
    private static final int ENOUGH_GROUPS = 1_024;

    /** For what partitions give. */
    private static final long MOST_BYTES = 64 << 20;

    /** CUDA's bound on groups in the second dimension. */
    private static final int MOST_GROUPS = 65_535;

    private static final KernelUnit LAYERS = new KernelUnit.Layers();

    private final StageProgram program;
    private final Device device;
    private final StageResources room;
    private final GrowingBuffer shares;

    AttentionLaunches(StageProgram program, Device device, StageResources room) {
        this.program = program;
        this.device = device;
        this.room = room;
        shares = new GrowingBuffer(device);
    }

    /** Partitions that a batch reaching that many positions is launched for: a power of two, so that few graphs differ in it. */
    static int partitions(int positions) {
        int needed = Math.ceilDiv(Math.max(1, positions), PARTITION);
        return needed == 1 ? 1 : Integer.highestOneBit(needed - 1) << 1;
    }

    /** @param rounds whether the result is rounded to 8 bits besides */
    void launch(Op.Attention attention, BatchDescription batch, boolean rounds) {
        Op.Scores scores = attention.scores();
        int tokens = batch.tokens();
        DeviceSlot out = room.slot(attention.out());
        DeviceBuffer to = rounds ? out.overwriteRounded(tokens) : out.overwrite(tokens);
        Argument[] seen = {
            memory(room.slot(attention.queries()).values()),
            memory(room.pool().layer(attention.layer())),
            memory(room.description().buffer()),
            whole(tokens),
            whole(attention.heads()),
            whole(program.cache().kvHeads()),
            whole(program.cache().headSize()),
            new Argument.Real(scores.scale()),
            whole(scores.window()),
            new Argument.Real(scores.softCap())
        };
        Argument[] result = {
            memory(room.vector(scores.sinks())),
            memory(to),
            memory(rounds ? out.levels() : room.nothing()),
            memory(rounds ? out.scales() : room.nothing()),
            memory(rounds ? out.sums() : room.nothing()),
            whole(scores.sinks() == null ? 0 : 1),
            whole(rounds ? 1 : 0)
        };
        String kernel = "attention_" + program.cache().type().name().toLowerCase(Locale.ROOT);
        int partitions = partitions(scores, batch.partitions());
        long bytes = (long) tokens
                * attention.heads()
                * partitions
                * (program.cache().headSize() + 2)
                * Float.BYTES;
        if (partitions == 1
                || tokens * attention.heads() >= ENOUGH_GROUPS
                || (long) tokens * partitions > MOST_GROUPS
                || bytes > MOST_BYTES) {
            teams(kernel, attention.heads(), tokens, arguments(seen, result));
            return;
        }
        DeviceBuffer parts = shares.reserve(bytes);
        teams(kernel + "_part", attention.heads(), tokens * partitions, arguments(seen, new Argument[] {
            memory(parts), whole(partitions)
        }));
        teams(
                "attention_join",
                attention.heads(),
                tokens,
                arguments(
                        new Argument[] {memory(parts), memory(room.description().buffer())}, result, new Argument[] {
                            whole(attention.heads()),
                            whole(program.cache().headSize()),
                            whole(scores.window()),
                            whole(partitions)
                        }));
    }

    /** A window of so many positions lies in at most two partitions more than it fills. */
    private static int partitions(Op.Scores scores, int all) {
        return scores.window() == 0 ? all : Math.min(all, scores.window() / PARTITION + 2);
    }

    private void teams(String kernel, int groups0, int groups1, Argument[] arguments) {
        device.launch(device.function(LAYERS, kernel), groups0, groups1, PARTITION, 1, arguments);
    }

    private static Argument[] arguments(Argument[]... lists) {
        return Arrays.stream(lists).flatMap(Arrays::stream).toArray(Argument[]::new);
    }

    private static Argument memory(DeviceBuffer buffer) {
        return new Argument.Memory(buffer);
    }

    private static Argument whole(int value) {
        return new Argument.Whole(value);
    }

    @Override
    public void close() {
        shares.close();
    }
}
