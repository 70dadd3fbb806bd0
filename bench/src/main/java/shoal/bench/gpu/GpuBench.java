package shoal.bench.gpu;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.DeviceInfo;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.kernel.device.DeviceException;
import shoal.bridge.kernel.device.DeviceKernels;
import shoal.bridge.make.FileType;
import shoal.bridge.make.RandomSource;
import shoal.bridge.make.Recipe;
import shoal.bridge.model.Batch;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.Stage;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.arch.Architectures;
import shoal.codec.base.LayerRange;
import shoal.codec.gguf.TensorInfo;

/** Measures whole models of random weights on a device, beside what its memory, its bus and its maker's library do in the same run. */
final class GpuBench {
    private static final long SEED = 20_261;
    private static final double GIGA = 1e9;
    private static final double DECODE_AIM = 0.7;
    private static final double PREFILL_AIM = 0.5;
    private static final double UPLOAD_AIM = 0.8;

    /** Logits that a greedy request wants. */
    private static final int GREEDY = 1;

    /** Prompts that a long context is as long as. */
    private static final int CONTEXT_PROMPTS = 8;

    private final GpuPlan plan;
    private final DeviceKernels kernels;
    private final GpuFindings findings;
    private final boolean graphs;

    /** @param graphs whether launch graphs are tried */
    GpuBench(GpuPlan plan, DeviceKernels kernels, boolean graphs, GpuFindings findings) {
        this.graphs = graphs;
        this.plan = plan;
        this.kernels = kernels;
        this.findings = findings;
    }

    void run() throws IOException, InterruptedException {
        DeviceInfo info = kernels.info();
        describe(info, findings);
        findings.setting("prompt", plan.prompt());
        findings.setting("steps", plan.steps());
        findings.progress("copying within the device");
        double copied = kernels.copiedBytesPerSecond();
        findings.row("what", "copy within the device, read and written", "GB/s", copied / GIGA);
        double pinned = kernels.pinnedBytesPerSecond();
        if (pinned > 0) {
            findings.row("what", "copy from pinned memory", "GB/s", pinned / GIGA);
        } else {
            findings.note("This driver has no pinned memory of its own: there is nothing to compare the upload with.");
        }
        Map<String, Double> vendor = vendorRates();
        vendor.forEach((name, rate) -> findings.row("what", "the maker's library, " + name, "TFLOP/s", rate / 1e12));
        if (vendor.isEmpty()) {
            findings.note("There is no library of the maker's here (libcublas): prompts are not compared with it.");
        }
        for (FileType type : plan.types()) {
            measureLarge(type, copied, pinned, vendor);
        }
        if (graphs) {
            measureGraphs();
        }
        measureContext();
        measureHop();
    }

    /** Empty where there is no such library, or it does not work. */
    private Map<String, Double> vendorRates() {
        findings.progress("the maker's library");
        try {
            return kernels.vendorRates(plan.matrix());
        } catch (DeviceException unusable) {
            findings.note("The maker's library can't be measured: " + unusable.getMessage());
            return Map.of();
        }
    }

    /** Name and driver of a device; that a CPU's figures mean nothing. */
    static void describe(DeviceInfo info, GpuFindings findings) {
        findings.setting("device", info.id());
        findings.setting("name", info.name());
        findings.setting("driver", info.driver());
        if (info.processor()) {
            findings.note("The device is a CPU: these figures say nothing of a GPU's speed.");
        }
    }

    /** One model on the device. */
    private final class Model implements AutoCloseable {
        private final Arena arena = Arena.ofShared();
        private final RandomSource source;
        private final Stage stage;
        private final MemorySegment logits;
        private final Random random = new Random(SEED);
        private final double uploadSeconds;

        Model(String recipe, FileType type) {
            source = new RandomSource(Recipe.of(recipe), type, SEED);
            ModelConfig config = Architectures.config(source.header());
            long begun = System.nanoTime();
            stage = Architectures.open(
                    source,
                    new LayerRange(0, config.layers() - 1),
                    new StageSettings(kernels, config.contextLength(), CacheType.F16));
            uploadSeconds = (System.nanoTime() - begun) / GIGA;
            logits = arena.allocate((long) config.vocabulary() * Float.BYTES, 64);
        }

        /** Bytes that a step reads: all matrices but the table of tokens, of which it reads a row. */
        long bytesPerStep() {
            boolean tied = source.header().tensor("output.weight") == null;
            return source.header().tensors().stream()
                    .filter(tensor -> tied || !tensor.name().equals("token_embd.weight"))
                    .mapToLong(TensorInfo::sizeBytes)
                    .sum();
        }

        long bytes() {
            return source.header().tensors().stream()
                    .mapToLong(TensorInfo::sizeBytes)
                    .sum();
        }

        /** Multiplications and additions for a token of a prompt; the output matrix has part in the last token alone. */
        double operationsPerToken() {
            return 2.0
                    * source.header().tensors().stream()
                            .filter(tensor -> tensor.name().startsWith("blk.")
                                    && tensor.dimensions().size() > 1)
                            .mapToLong(tensor -> tensor.dimensions().get(0)
                                    * tensor.dimensions().get(1))
                            .sum();
        }

        /** @param picks as {@link Batch.Slice} has it */
        private void run(SequenceMemory sequence, int count, int picks) {
            int[] ids = random.ints(count, 0, stage.config().vocabulary()).toArray();
            var slice = new Batch.Slice(sequence, sequence.length(), count, Batch.Wanted.LAST, picks);
            stage.run(new Batch(List.of(slice), new Batch.Input.Tokens(ids)), logits);
        }

        /** Seconds for a prompt, the best of some; the first compiles. */
        double prompt() {
            double best = Double.POSITIVE_INFINITY;
            for (int round = 0; round <= plan.rounds(); round++) {
                try (SequenceMemory sequence = stage.openSequence()) {
                    long begun = System.nanoTime();
                    run(sequence, plan.prompt(), GREEDY);
                    best = round == 0 ? best : Math.min(best, (System.nanoTime() - begun) / GIGA);
                }
            }
            return best;
        }

        /** Seconds for a step that a greedy request asks for, at the beginning of a context. */
        double step() {
            return step(0, GREEDY);
        }

        /** Seconds for a step behind so many positions, the best mean of some rounds. */
        double step(int behind, int picks) {
            double best = Double.POSITIVE_INFINITY;
            try (SequenceMemory sequence = stage.openSequence()) {
                while (sequence.length() < behind) {
                    run(sequence, Math.min(plan.prompt(), behind - sequence.length()), GREEDY);
                }
                for (int round = 0; round <= plan.rounds(); round++) {
                    sequence.truncate(behind);
                    run(sequence, 1, picks);
                    long begun = System.nanoTime();
                    for (int i = 0; i < plan.steps(); i++) {
                        run(sequence, 1, picks);
                    }
                    best = round == 0 ? best : Math.min(best, (System.nanoTime() - begun) / GIGA / plan.steps());
                }
            }
            return best;
        }

        @Override
        public void close() {
            stage.close();
            source.close();
            arena.close();
        }
    }

    private void measureLarge(FileType type, double copied, double pinned, Map<String, Double> vendor)
            throws IOException, InterruptedException {
        findings.progress(plan.large() + " in " + type);
        double step;
        double prompt;
        try (Model model = new Model(plan.large(), type)) {
            step = model.step();
            prompt = model.prompt();
            double upload = model.bytes() / model.uploadSeconds;
            double operations = model.operationsPerToken() * plan.prompt() / prompt;
            findings.row(
                    "what",
                    plan.large() + " " + type,
                    "GB/s",
                    model.bytesPerStep() / step / GIGA,
                    "tokens/s",
                    1 / step,
                    "upload GB/s",
                    upload / GIGA,
                    "prompt tokens/s",
                    plan.prompt() / prompt,
                    "TFLOP/s",
                    operations / 1e12,
                    "products by",
                    kernels.products(type.most()));
            findings.ratio(
                    "decode, " + type + ": weights' bytes over the copy's",
                    model.bytesPerStep() / step / copied,
                    DECODE_AIM);
            if (pinned > 0) {
                findings.ratio("upload, " + type + ": over pinned memory's", upload / pinned, UPLOAD_AIM);
            }
            vendor.forEach((name, rate) -> findings.ratio(
                    "prompt, " + type + ": over the maker's library in " + name,
                    operations / rate,
                    name.equals(type == FileType.F16 ? "F16" : "S8") ? PREFILL_AIM : 0));
        }
        if (plan.peer() != null) {
            GpuPeer.race(plan, type, SEED, 1 / step, plan.prompt() / prompt, findings);
        }
    }

    private void measureGraphs() {
        FileType type = plan.types().getFirst();
        double[] steps = new double[2];
        for (int i = 0; i < 2; i++) {
            findings.progress(plan.small() + " in " + type + (i == 0 ? " with" : " without") + " graphs");
            kernels.useGraphs(i == 0);
            try (Model model = new Model(plan.small(), type)) {
                steps[i] = model.step();
                findings.row(
                        "what",
                        plan.small() + " " + type + (i == 0 ? ", from a graph" : ", launch by launch"),
                        "GB/s",
                        model.bytesPerStep() / steps[i] / GIGA,
                        "tokens/s",
                        1 / steps[i]);
            } finally {
                kernels.useGraphs(true);
            }
        }
        findings.ratio("steps from a graph over steps without", steps[1] / steps[0], 0);
    }

    /** What a long context costs, and what it saves to pick the highest logit on the device. */
    private void measureContext() {
        FileType type = plan.types().getFirst();
        findings.progress(plan.small() + " in " + type + " behind a long context");
        try (Model model = new Model(plan.small(), type)) {
            int positions = Math.min(CONTEXT_PROMPTS * plan.prompt(), model.stage.contextLength() - plan.steps() - 2);
            double first = model.step();
            double behind = model.step(positions, GREEDY);
            findings.row(
                    "what",
                    plan.small() + " " + type + ", behind " + positions + " positions",
                    "tokens/s",
                    1 / behind,
                    "at the beginning",
                    1 / first);
            findings.ratio("steps at the beginning over steps behind " + positions + " positions", first / behind, 0);
            findings.ratio("steps with all logits copied over steps with one picked", model.step(0, 0) / first, 0);
        }
    }

    /** What a stage gives to the next, to memory outside the heap, where the network takes it, and by way of the heap. */
    private void measureHop() {
        int width = 4_096;
        var builder = new StageProgram.Builder();
        Slot slot = builder.slot("values", width);
        builder.add(new Op.Scale(slot, 2));
        StageProgram program = builder.build(slot, slot, new CacheShape(0, 1, 1));
        double[] seconds = new double[2];
        try (Arena arena = Arena.ofShared();
                CompiledStage stage = kernels.compile(program);
                SequenceMemory sequence = stage.openSequence(plan.prompt())) {
            long bytes = (long) plan.prompt() * width * Float.BYTES;
            MemorySegment in = arena.allocate(bytes, 64);
            MemorySegment out = arena.allocate(bytes, 64);
            byte[] heap = new byte[Math.toIntExact(bytes)];
            for (int way = 0; way < 2; way++) {
                seconds[way] = Double.POSITIVE_INFINITY;
                for (int round = 0; round < 3 + plan.rounds(); round++) {
                    sequence.truncate(0);
                    long begun = System.nanoTime();
                    stage.run(new StageBatch(
                            List.of(new StageBatch.Slice(sequence, 0, plan.prompt())), null, in, new int[0], out));
                    if (way == 1) {
                        MemorySegment.copy(out, ValueLayout.JAVA_BYTE, 0, heap, 0, heap.length);
                        MemorySegment.copy(heap, 0, out, ValueLayout.JAVA_BYTE, 0, heap.length);
                    }
                    seconds[way] = Math.min(seconds[way], (System.nanoTime() - begun) / GIGA);
                }
            }
            findings.row(
                    "what",
                    String.format(
                            Locale.ROOT,
                            "hop of %d rows of %,d values there and back, outside the heap",
                            plan.prompt(),
                            width),
                    "GB/s",
                    2 * bytes / seconds[0] / GIGA);
            findings.ratio("a hop outside the heap over one through it", seconds[1] / seconds[0], 0);
        }
    }
}
