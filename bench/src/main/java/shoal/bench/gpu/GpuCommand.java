package shoal.bench.gpu;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Random;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import shoal.bench.report.BenchCommand;
import shoal.bench.report.Machine;
import shoal.bench.report.Report;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.DeviceInfo;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.kernel.device.DeviceKernels;
import shoal.codec.gguf.GgmlType;

/** Products with a row of square matrices on a device, beside what it copies within its own memory. */
@Command(name = "gpu", description = "Products with weights on a device, beside what its memory allows.")
public final class GpuCommand extends BenchCommand {
    private static final List<GgmlType> TYPES = List.of(GgmlType.F16, GgmlType.Q8_0, GgmlType.Q4_K);
    private static final long SEED = 20_261;

    /** Of the weights: their two-byte scales are then finite and above 0 in every type. */
    private static final int LEAST_BYTE = 0x20;

    private static final int BYTES_USED = 0x20;

    @Option(
            names = "--device",
            defaultValue = "opencl:0",
            paramLabel = "NAME",
            description = "One that doctor lists; default ${DEFAULT-VALUE}.")
    private String device = "opencl:0";

    @Option(
            names = "--size",
            defaultValue = "4096",
            paramLabel = "N",
            description = "Rows and columns of each matrix, a multiple of 256; default ${DEFAULT-VALUE}.")
    private int size;

    @Option(
            names = "--matrices",
            defaultValue = "32",
            paramLabel = "N",
            description = "How many, one after another; default ${DEFAULT-VALUE}.")
    private int matrices;

    @Option(
            names = "--tokens",
            defaultValue = "256",
            paramLabel = "N",
            description = "Of a prompt; default ${DEFAULT-VALUE}.")
    private int tokens;

    @Option(names = "--rounds", defaultValue = "5", paramLabel = "N", description = "The best counts; default 5.")
    private int rounds;

    @Override
    protected Report measure() {
        if (size < 256 || size % 256 != 0 || matrices < 1 || tokens < 2 || rounds < 1) {
            throw new IllegalArgumentException("--size is " + size + ", --matrices " + matrices + ", --tokens " + tokens
                    + ", --rounds " + rounds + "; allowed are a multiple of 256, and 1, 2 and 1 or more.");
        }
        var settings = new KernelSettings(device, 1);
        try (Kernels opened = KernelChoice.of(settings).provider().open(settings)) {
            if (!(opened instanceof DeviceKernels kernels)) {
                throw new IllegalArgumentException(
                        device + " is no device; ./shoal doctor lists those that there are.");
            }
            DeviceInfo info = kernels.info();
            var report = new Report("gpu", Machine.described())
                    .setting("device", info.id())
                    .setting("name", info.name())
                    .setting("driver", info.driver())
                    .setting("matrix", size + " x " + size)
                    .setting("matrices", matrices)
                    .setting("prompt", tokens);
            if (info.processor()) {
                report.note("The device is a CPU: these figures say nothing of a GPU's speed.");
            }
            progress("copying within the device");
            double copied = kernels.copiedBytesPerSecond();
            report.row("what", "copy within the device, read and write", "GB/s", copied / 1e9);
            for (GgmlType type : TYPES) {
                progress("products with " + type);
                measure(report, kernels, type, copied);
            }
            return report;
        }
    }

    private void measure(Report report, Kernels kernels, GgmlType type, double copied) {
        long bytes = type.sizeBytes((long) size * size);
        try (Arena arena = Arena.ofShared()) {
            var builder = new StageProgram.Builder();
            Slot in = builder.slot("in", size);
            Slot out = builder.slot("out", size);
            for (int i = 0; i < matrices; i++) {
                MemorySegment weights = weights(bytes, i, arena);
                builder.add(new Op.MatMul(
                        kernels.prepare(type, size, size, weights),
                        null,
                        i % 2 == 0 ? in : out,
                        i % 2 == 0 ? out : in));
            }
            StageProgram program = builder.build(in, matrices % 2 == 0 ? in : out, new CacheShape(0, 1, 1));
            long begun = System.nanoTime();
            try (CompiledStage stage = kernels.compile(program);
                    SequenceMemory sequence = stage.openSequence(Integer.MAX_VALUE / 2)) {
                double upload = bytes * (double) matrices / (System.nanoTime() - begun) * 1e9;
                double one = best(stage, sequence, 1, arena);
                double many = best(stage, sequence, tokens, arena);
                double rate = bytes * (double) matrices / one;
                report.row(
                        "what",
                        type.name(),
                        "GB/s",
                        rate / 1e9,
                        "tokens/s",
                        1 / one,
                        "upload GB/s",
                        upload / 1e9,
                        "prompt GFLOP/s",
                        2.0 * size * size * matrices * tokens / many / 1e9);
                report.ratio("one token, " + type + ", over the copy's bytes", rate / copied);
            }
        }
    }

    private double best(CompiledStage stage, SequenceMemory sequence, int count, Arena arena) {
        MemorySegment input = arena.allocate((long) count * size * Float.BYTES);
        MemorySegment output = arena.allocate((long) count * size * Float.BYTES);
        for (long i = 0; i < (long) count * size; i++) {
            input.setAtIndex(ValueLayout.JAVA_FLOAT, i, i % 7 - 3);
        }
        double best = Double.POSITIVE_INFINITY;
        for (int round = 0; round <= rounds; round++) { // the first compiles
            sequence.truncate(0);
            long begun = System.nanoTime();
            stage.run(
                    new StageBatch(List.of(new StageBatch.Slice(sequence, 0, count)), null, input, new int[0], output));
            if (round > 0) {
                best = Math.min(best, (System.nanoTime() - begun) / 1e9);
            }
        }
        return best;
    }

    private static MemorySegment weights(long bytes, int number, Arena arena) {
        var random = new Random(SEED + number);
        MemorySegment segment = arena.allocate(bytes, 64);
        for (long at = 0; at < bytes; at++) {
            segment.set(ValueLayout.JAVA_BYTE, at, (byte) (LEAST_BYTE + random.nextInt(BYTES_USED)));
        }
        return segment;
    }
}
