package shoal.bridge.kernel.device;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.Map;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.StageProgram;
import shoal.codec.gguf.GgmlType;

/**
 * Which kernels multiply on a device: its own, where the first matrix of a type gave what the common ones give. Those that do not are
 * left alone from then on, which is said once.
 */
final class ProductChoice {
    private static final System.Logger LOG = System.getLogger(ProductChoice.class.getName());
    private static final int PART = 32;

    /** Each way of multiplying is looked at: one token, a few, and more than a tile. */
    private static final int[] TOKENS = {1, 5, 67};

    private static final int MOST_ROWS = 70;

    /** The bits that a BF16 has. */
    private static final int COARSE = 0xffff_0000;

    private static final double TOLERANCE = 1e-4;

    private final Device device;
    private boolean commonAlone;
    private final Map<GgmlType, ProductKernels> chosen = new EnumMap<>(GgmlType.class);

    ProductChoice(Device device) {
        this.device = device;
    }

    ProductKernels of(GgmlType type) {
        return chosen.getOrDefault(type, ProductKernels.COMMON);
    }

    /** From now on the common kernels multiply, whatever a device has of its own. */
    void useCommonAlone() {
        commonAlone = true;
        chosen.clear();
    }

    /** Decides about types that a program is the first to have. Its weights were uploaded. */
    void check(StageProgram program, StageResources room) {
        ProductKernels own = commonAlone ? ProductKernels.COMMON : device.products();
        for (Op op : StagePlan.allOperations(program)) {
            if (op instanceof Op.Embed) {
                continue;
            }
            for (DeviceWeights matrix : StagePlan.matricesOf(op)) {
                GgmlType type = matrix.type();
                if (chosen.containsKey(type)) {
                    continue;
                }
                if (own != ProductKernels.COMMON && !isLookedAt(own, matrix)) {
                    continue; // the common kernels multiply this one; another matrix of that type may tell more
                }
                String difference = own == ProductKernels.COMMON ? null : difference(own, matrix, room);
                chosen.put(type, difference == null ? own : ProductKernels.COMMON);
                if (difference != null) {
                    LOG.log(
                            System.Logger.Level.WARNING,
                            "{0}: {1} kernels multiply {2} otherwise than the common ones ({3}); the common ones are used",
                            device.info().id(),
                            own.name(),
                            type,
                            difference);
                }
            }
        }
    }

    /** Whether the two have different kernels for a matrix. */
    private static boolean isLookedAt(ProductKernels own, DeviceWeights matrix) {
        return Arrays.stream(TOKENS)
                .anyMatch(tokens -> !own.dense(matrix.type(), 1, matrix.columns(), tokens)
                        .equals(ProductKernels.COMMON.dense(matrix.type(), 1, matrix.columns(), tokens)));
    }

    /** Null if both give the same, or the first that is not. */
    private @Nullable String difference(ProductKernels own, DeviceWeights matrix, StageResources room) {
        int rows = Math.min(MOST_ROWS, matrix.rows());
        for (int tokens : TOKENS) {
            if (own.dense(matrix.type(), rows, matrix.columns(), tokens)
                    .equals(ProductKernels.COMMON.dense(matrix.type(), rows, matrix.columns(), tokens))) {
                continue;
            }
            float[] expected = multiplied(ProductKernels.COMMON, matrix, rows, tokens, room);
            float[] found = multiplied(own, matrix, rows, tokens, room);
            double scale = 1e-30;
            for (float value : expected) {
                scale = Math.max(scale, Math.abs(value));
            }
            for (int i = 0; i < expected.length; i++) {
                if (!(Math.abs(expected[i] - found[i]) <= TOLERANCE * scale)) {
                    return "with " + tokens + " tokens " + expected[i] + " is " + found[i];
                }
            }
        }
        return null;
    }

    private float[] multiplied(
            ProductKernels kernels, DeviceWeights matrix, int rows, int tokens, StageResources room) {
        float[] values = new float[tokens * matrix.columns()];
        var random = new SplittableRandom(tokens);
        for (int i = 0; i < values.length; i++) {
            int bits = Float.floatToRawIntBits((float) random.nextDouble(-1, 1));
            values[i] = Float.intBitsToFloat(bits & COARSE); // which no kernel has to round
        }
        float[] results = new float[tokens * rows];
        Arrays.fill(results, Float.NaN);
        var in = new DeviceSlot(device, matrix.columns());
        try (DeviceBuffer out = device.allocate((long) results.length * Float.BYTES)) {
            device.write(in.overwrite(tokens), 0, MemorySegment.ofArray(values));
            device.write(out, 0, MemorySegment.ofArray(results));
            roundFor(kernels, matrix, in, tokens);
            launch(kernels, matrix, rows, room.matrix(matrix), in, room.nothing(), 0, out, tokens, room.nothing());
            device.read(out, 0, MemorySegment.ofArray(results));
        } finally {
            in.close();
        }
        return results;
    }

    /** Rounds activations for a dense product by some kernels, if that was not done yet. */
    void roundFor(ProductKernels kernels, DeviceWeights weights, DeviceSlot in, int tokens) {
        quantiseFor(weights, in, tokens);
        String rounding = kernels.rounding(weights.type(), weights.columns(), tokens);
        if (!rounding.isEmpty() && in.wantsHalves(weights.type(), tokens)) {
            int pairs = tokens * weights.columns() / 2;
            int items = 128;
            device.launch(
                    device.function(new KernelUnit.Products(weights.type()), rounding),
                    Math.ceilDiv(pairs, items),
                    1,
                    items,
                    1,
                    new Argument.Memory(in.values()),
                    new Argument.Memory(in.halves()),
                    new Argument.Whole(pairs));
        }
    }

    /** Rounds activations to 8 bits if the matrix wants that and it was not done yet. */
    void quantiseFor(DeviceWeights weights, DeviceSlot in, int rows) {
        if (weights.quantised() && in.wantsQuantising(rows)) {
            int parts = rows * (in.width() / PART);
            int items = 128;
            device.launch(
                    device.function(new KernelUnit.Layers(), "quantise"),
                    Math.ceilDiv(parts, items),
                    1,
                    items,
                    1,
                    new Argument.Memory(in.values()),
                    new Argument.Memory(in.levels()),
                    new Argument.Memory(in.scales()),
                    new Argument.Memory(in.sums()),
                    new Argument.Whole(parts));
        }
    }

    /** As products.cl has them. */
    static final int HAS_BIAS = 1;

    static final int ADDS = 2;

    /**
     * Multiplies the first rows of a matrix with activations that were rounded if they have to be.
     *
     * @param flags {@link #HAS_BIAS}, and {@link #ADDS} if the result is to be added to what stands in out
     */
    void launch(
            ProductKernels kernels,
            DeviceWeights weights,
            int rows,
            DeviceBuffer matrix,
            DeviceSlot in,
            DeviceBuffer bias,
            int flags,
            DeviceBuffer out,
            int tokens,
            DeviceBuffer nothing) {
        ProductKernels.Launch launch = kernels.dense(weights.type(), rows, weights.columns(), tokens);
        boolean halves =
                !kernels.rounding(weights.type(), weights.columns(), tokens).isEmpty();
        device.launch(
                device.function(new KernelUnit.Products(weights.type()), launch.kernel()),
                launch.groups0(),
                launch.groups1(),
                launch.items0(),
                launch.items1(),
                new Argument.Memory(matrix),
                new Argument.Memory(in.values()),
                new Argument.Memory(weights.quantised() ? in.levels() : halves ? in.halves() : nothing),
                new Argument.Memory(weights.quantised() ? in.scales() : nothing),
                new Argument.Memory(weights.quantised() ? in.sums() : nothing),
                new Argument.Memory(bias),
                new Argument.Memory(out),
                new Argument.Whole(rows),
                new Argument.Whole(weights.columns()),
                new Argument.Whole(tokens),
                new Argument.Whole(flags));
    }
}
