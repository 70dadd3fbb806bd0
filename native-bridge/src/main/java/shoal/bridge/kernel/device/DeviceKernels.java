package shoal.bridge.kernel.device;

import java.lang.foreign.MemorySegment;
import java.util.Collections;
import java.util.EnumSet;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.DeviceInfo;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.PreparedWeights;
import shoal.bridge.kernel.StageProgram;
import shoal.codec.gguf.GgmlType;

/** Kernels on one device, which this owns. Weights are uploaded when a stage is compiled, and freed when it is closed. */
public final class DeviceKernels implements Kernels {
    private static final Set<GgmlType> TYPES = Collections.unmodifiableSet(EnumSet.of(
            GgmlType.F32,
            GgmlType.F16,
            GgmlType.BF16,
            GgmlType.Q8_0,
            GgmlType.Q4_0,
            GgmlType.Q4_1,
            GgmlType.Q5_0,
            GgmlType.Q5_1,
            GgmlType.Q2_K,
            GgmlType.Q3_K,
            GgmlType.Q4_K,
            GgmlType.Q5_K,
            GgmlType.Q6_K,
            GgmlType.IQ4_NL,
            GgmlType.IQ4_XS,
            GgmlType.MXFP4));

    private static final long COPIED_BYTES = 256 << 20;
    private static final long COPIED_BY_CPU = 32 << 20;
    private static final int COPIES = 5;

    private final Device device;
    private final ProductChoice products;
    private boolean withGraphs = true;

    public DeviceKernels(Device device) {
        this.device = device;
        products = new ProductChoice(device);
    }

    @Override
    public String name() {
        return device.info().id() + " (" + device.info().name() + ")";
    }

    @Override
    public Set<GgmlType> supportedTypes() {
        return TYPES;
    }

    @Override
    public boolean keepsSumOrder() {
        return false;
    }

    @Override
    public PreparedWeights prepare(GgmlType type, int rows, int columns, MemorySegment mapped) {
        if (!TYPES.contains(type)) {
            throw new IllegalArgumentException("tensor type " + type + " is not supported; supported are "
                    + TYPES.stream().sorted().map(GgmlType::name).collect(Collectors.joining(", ")));
        }
        return new DeviceWeights(type, rows, columns, mapped);
    }

    /** @throws IllegalArgumentException if the device has no room for it, with the numbers; nothing is held then */
    @Override
    public CompiledStage compile(StageProgram program) {
        synchronized (device) {
            return new DeviceStage(program, device, products, withGraphs);
        }
    }

    @Override
    public int layersThatFit(StageProgram program) {
        synchronized (device) {
            return new StagePlan(program, device).layersThatFit();
        }
    }

    /** Whose kernels multiply matrices of that type since a stage with one was compiled: the device's own, or the common ones. */
    public String products(GgmlType type) {
        synchronized (device) {
            return products.of(type).name();
        }
    }

    public DeviceInfo info() {
        return device.info();
    }

    /** What a step that reads all weights can hope for: the best of a few copies of up to 256 MiB, of less where a CPU copies. */
    @Override
    public double copiedBytesPerSecond() {
        synchronized (device) {
            long bytes = Math.max(
                    1, Math.min(device.info().processor() ? COPIED_BY_CPU : COPIED_BYTES, device.freeBytes() / 4));
            try (DeviceBuffer from = device.allocate(bytes);
                    DeviceBuffer to = device.allocate(bytes)) {
                device.copy(from, to, bytes);
                device.finish();
                long best = Long.MAX_VALUE;
                for (int i = 0; i < COPIES; i++) {
                    long begun = System.nanoTime();
                    device.copy(from, to, bytes);
                    device.finish();
                    best = Math.min(best, Math.max(1, System.nanoTime() - begun));
                }
                return 2e9 * bytes / best;
            }
        }
    }

    /** As {@link Device#pinnedBytesPerSecond}. */
    public double pinnedBytesPerSecond() {
        synchronized (device) {
            return device.pinnedBytesPerSecond();
        }
    }

    /** As {@link Device#vendorRates}. */
    public Map<String, Double> vendorRates(int rows) {
        synchronized (device) {
            return device.vendorRates(rows);
        }
    }

    /** Whether stages that are compiled from now on launch steps of a few tokens as one graph. */
    public void useGraphs(boolean use) {
        synchronized (device) {
            withGraphs = use;
        }
    }

    /** Leaves the device's own kernels alone, in stages that are compiled from now on. */
    public void useCommonProducts() {
        synchronized (device) {
            products.useCommonAlone();
        }
    }

    /** Bytes of the device that its open stages hold. */
    public long allocatedBytes() {
        synchronized (device) {
            return device.allocatedBytes();
        }
    }

    @Override
    public void close() {
        synchronized (device) {
            device.close();
        }
    }
}
