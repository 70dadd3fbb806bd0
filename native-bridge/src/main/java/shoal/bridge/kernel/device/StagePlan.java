package shoal.bridge.kernel.device;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.StageProgram;

/** What a program takes of a device, counted before anything is uploaded. */
final class StagePlan {
    /** As portable.h has them. */
    private static final int MAX_HEAD = 512;

    private static final int MAX_EXPERTS = 1_024;

    /** Positions and tokens that layers are given room for when as many as fit are taken. */
    private static final int ROOMY_POSITIONS = 4_096;

    private static final int ROOMY_TOKENS = 512;

    private final StageProgram program;
    private final Device device;

    StagePlan(StageProgram program, Device device) {
        this.program = program;
        this.device = device;
    }

    /** Where a matrix's bytes lie: one that is named twice is uploaded once. */
    record Place(@Nullable Object heap, long address, long bytes) {
        static Place of(DeviceWeights matrix) {
            MemorySegment bytes = matrix.bytes();
            return new Place(bytes.heapBase().orElse(null), bytes.address(), bytes.byteSize());
        }
    }

    /** @throws IllegalArgumentException with the remedy, if kernels have no room for a head or a layer's experts */
    void checkBounds() {
        for (Op op : allOperations(program)) {
            if (op instanceof Op.Attention attention && attention.out().width() / attention.heads() > MAX_HEAD) {
                throw new IllegalArgumentException(
                        "heads have " + attention.out().width() / attention.heads()
                                + " values, device kernels take at most " + MAX_HEAD + "; use --device cpu");
            }
            if (op instanceof Op.Experts experts && experts.experts() > MAX_EXPERTS) {
                throw new IllegalArgumentException("a layer has " + experts.experts()
                        + " experts, device kernels take at most " + MAX_EXPERTS + "; use --device cpu");
            }
        }
    }

    static List<Op> allOperations(StageProgram program) {
        List<Op> all = new ArrayList<>(program.body());
        all.addAll(program.head());
        return all;
    }

    /** @throws IllegalArgumentException with the numbers, if the weights do not fit what is free */
    void checkMemory() {
        long freeBytes = device.freeBytes();
        List<Long> needed = neededBytes(program.cache().pageBytes() + program.valuesPerToken() * Float.BYTES, 0);
        int layers = needed.size() - 1;
        if (needed.getLast() > freeBytes) {
            throw new IllegalArgumentException("this stage takes " + mib(needed.getLast()) + " of device memory, "
                    + device.info().id() + " (" + device.info().name() + ") has " + mib(freeBytes) + " free of "
                    + mib(device.info().memoryBytes()) + ": the first " + fitting(needed, freeBytes) + " of its "
                    + layers
                    + " layers would fit; use --device-layers auto, give this node fewer layers, or use --device cpu");
        }
    }

    /** How many of the first layers fit, with room for a context and a prompt; all of them only if what follows fits too. */
    int layersThatFit() {
        int layers = Math.max(1, program.cache().layers());
        long perLayer = program.cache().bytesPerPosition() * ROOMY_POSITIONS / layers;
        List<Long> needed = neededBytes(ROOMY_TOKENS * program.valuesPerToken() * Float.BYTES, perLayer);
        return needed.getLast() <= device.freeBytes()
                ? needed.size() - 1
                : Math.min(needed.size() - 2, fitting(needed, device.freeBytes()));
    }

    private static int fitting(List<Long> needed, long freeBytes) {
        int fits = 0;
        for (int layers = 0; layers < needed.size() - 1; layers++) {
            if (needed.get(layers) <= freeBytes) {
                fits = layers;
            }
        }
        return fits;
    }

    /** Entry n: what comes before layer n, for n below the count of layers; last: all of the program. */
    private List<Long> neededBytes(long beside, long perLayer) {
        long needed = beside;
        List<Long> before = new ArrayList<>();
        Map<Place, Boolean> seen = new HashMap<>();
        for (Op op : allOperations(program)) {
            if (op instanceof Op.Store) {
                before.add(needed);
                needed += perLayer;
            }
            for (DeviceWeights matrix : matricesOf(op)) {
                long bytes = matrix.bytes().byteSize();
                if (bytes > device.info().largestBufferBytes()) {
                    throw new IllegalArgumentException("a matrix of " + mib(bytes) + " is more than "
                            + device.info().id() + " (" + device.info().name() + ") takes in one piece, "
                            + mib(device.info().largestBufferBytes()) + "; use --device cpu");
                }
                if (seen.put(Place.of(matrix), true) == null) {
                    needed += bytes;
                }
            }
        }
        before.add(needed);
        return before;
    }

    private static String mib(long bytes) {
        return String.format(Locale.ROOT, "%,.1f MiB", bytes / (double) (1 << 20));
    }

    /** The matrices that an operation reads. */
    static List<DeviceWeights> matricesOf(Op op) {
        return switch (op) {
            case Op.Embed embed -> List.of((DeviceWeights) embed.table());
            case Op.MatMul product -> List.of((DeviceWeights) product.weights());
            case Op.Experts experts ->
                List.of(
                        (DeviceWeights) experts.router().weights(),
                        (DeviceWeights) experts.gate().weights(),
                        (DeviceWeights) experts.up().weights(),
                        (DeviceWeights) experts.down().weights());
            case Op.RmsNorm _,
                    Op.RmsNormRuns _,
                    Op.LayerNorm _,
                    Op.Rope _,
                    Op.Store _,
                    Op.Attention _,
                    Op.Gate _,
                    Op.Gelu _,
                    Op.Scale _,
                    Op.SoftCap _,
                    Op.Add _,
                    Op.AddGated _,
                    Op.SelectRows _ -> List.of();
        };
    }
}
