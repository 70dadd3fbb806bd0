package shoal.bench.gpu;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.kernel.device.DeviceKernels;
import shoal.bridge.kernel.host.HostKernels;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.bridge.make.FileType;
import shoal.bridge.make.RandomBlocks;
import shoal.bridge.make.RandomSource;
import shoal.bridge.make.Recipe;
import shoal.bridge.model.Batch;
import shoal.bridge.model.Stage;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.arch.Architectures;
import shoal.codec.base.LayerRange;
import shoal.codec.gguf.GgmlType;

/** Whether a device computes what the oracle does, where no test can run: products of every type, and a tiny model of every family. */
final class GpuCheck {
    private static final long SEED = 20_262;
    private static final int[] TOKENS = {1, 2, 8, 9, 33, 67};
    private static final int ROWS = 83;
    private static final double PRODUCT_TOLERANCE = 2e-5;

    /** Of a whole model: a last bit decides how an activation is rounded to 8 bits, and that goes on. */
    private static final double MODEL_TOLERANCE = 5e-2;

    private static final int STAGES = 1_000;

    private final DeviceKernels device;
    private final Kernels oracle = new HostKernels("scalar", new ScalarOperations(), 1);
    private final GpuFindings findings;
    private final boolean graphs;
    private int done;
    private int wrong;

    /** @param graphs whether launch graphs are tried */
    GpuCheck(DeviceKernels device, boolean graphs, GpuFindings findings) {
        this.device = device;
        this.graphs = graphs;
        this.findings = findings;
    }

    /** Says what is wrong; whether nothing is. */
    boolean run() {
        try (oracle) {
            for (GgmlType type : device.supportedTypes()) {
                findings.progress("products of " + type);
                products(type, 3);
                products(type, 17);
                findings.row("what", "products of " + type, "by", device.products(type));
            }
            for (Recipe recipe : Recipe.all()) {
                if (recipe.name().endsWith("-tiny")) {
                    findings.progress("a model like " + recipe.name());
                    model(recipe, FileType.Q8_0);
                }
            }
            for (FileType type : List.of(FileType.F16, FileType.BF16, FileType.Q4_K_S, FileType.Q6_K)) {
                model(Recipe.of("llama-tiny"), type);
            }
            serving();
            leaks();
        }
        findings.row("what", "comparisons with the oracle", "done", done, "wrong", wrong);
        return wrong == 0;
    }

    private void products(GgmlType type, int blocks) {
        int columns = blocks * Math.max(32, type.blockValues());
        try (Arena arena = Arena.ofShared()) {
            MemorySegment weights = arena.allocate(type.sizeBytes((long) ROWS * columns), 64);
            new RandomBlocks(SEED + type.ordinal()).fill(type, weights, 0.1);
            float[] input = coarse(floats(TOKENS[TOKENS.length - 1] * columns));
            float[] together = new float[0];
            for (int tokens : TOKENS) {
                float[] in = Arrays.copyOf(input, tokens * columns);
                float[] found = product(device, type, columns, weights, in, tokens);
                String what = type + " with " + tokens + " tokens, rows of " + columns;
                compare(what, product(oracle, type, columns, weights, in, tokens), found, PRODUCT_TOLERANCE);
                same(what + ", twice", found, product(device, type, columns, weights, in, tokens));
                same(what + ", beside fewer", together, Arrays.copyOf(found, together.length));
                together = found;
            }
        }
    }

    private static float[] product(
            Kernels kernels, GgmlType type, int columns, MemorySegment weights, float[] in, int tokens) {
        var builder = new StageProgram.Builder();
        Slot from = builder.slot("in", columns);
        Slot to = builder.slot("out", ROWS);
        builder.add(new Op.MatMul(kernels.prepare(type, ROWS, columns, weights), null, from, to));
        float[] out = new float[tokens * ROWS];
        Arrays.fill(out, Float.NaN);
        try (CompiledStage stage = kernels.compile(builder.build(from, to, new CacheShape(0, 1, 1)));
                SequenceMemory sequence = stage.openSequence(tokens)) {
            stage.run(new StageBatch(
                    List.of(new StageBatch.Slice(sequence, 0, tokens)),
                    null,
                    MemorySegment.ofArray(in),
                    new int[0],
                    MemorySegment.ofArray(out)));
        }
        return out;
    }

    private void model(Recipe recipe, FileType type) {
        int[] ids = new Random(SEED).ints(40, 0, recipe.vocabulary()).toArray();
        try (RandomSource source = new RandomSource(recipe, type, SEED)) {
            for (CacheType cache : CacheType.values()) {
                float[] expected = logits(oracle, source, cache, ids, ids.length);
                float[] whole = logits(device, source, cache, ids, ids.length);
                String what = recipe.name() + " in " + type + ", cache " + cache;
                compare(what, expected, whole, MODEL_TOLERANCE);
                same(what + ", in steps from graphs", whole, logits(device, source, cache, ids, 1));
                device.useGraphs(false);
                same(what + ", in steps without", whole, logits(device, source, cache, ids, 1));
                device.useGraphs(graphs);
                same(what + ", in chunks", whole, logits(device, source, cache, ids, 7));
            }
        }
    }

    private static float[] logits(Kernels kernels, RandomSource source, CacheType cache, int[] ids, int chunk) {
        int layers = Architectures.config(source.header()).layers();
        float[] logits = new float[0];
        try (Stage stage = Architectures.open(
                        source, new LayerRange(0, layers - 1), new StageSettings(kernels, 256, cache));
                SequenceMemory sequence = stage.openSequence()) {
            for (int at = 0; at < ids.length; at += chunk) {
                logits = new float[stage.outputWidth()];
                int[] part = Arrays.copyOfRange(ids, at, Math.min(ids.length, at + chunk));
                stage.run(Batch.ofTokens(sequence, at, part, Batch.Wanted.LAST), MemorySegment.ofArray(logits));
            }
        }
        return logits;
    }

    private void serving() {
        findings.progress("long contexts, picked logits, copied keys and values");
        try (var serving = new GpuServingCheck(device, (what, isSame) -> {
            done++;
            if (!isSame) {
                fail(what + ": not the same");
            }
        })) {
            serving.run();
        }
    }

    private void leaks() {
        findings.progress(STAGES + " stages");
        long before = device.allocatedBytes();
        try (Arena arena = Arena.ofShared()) {
            MemorySegment weights = arena.allocate(GgmlType.F32.sizeBytes(ROWS * 32L), 64);
            for (long at = 0; at < weights.byteSize(); at += Float.BYTES) {
                weights.set(ValueLayout.JAVA_FLOAT, at, at % 7);
            }
            float[] in = floats(32);
            float[] first = product(device, GgmlType.F32, 32, weights, in, 1);
            for (int i = 0; i < STAGES; i++) {
                same("stage " + i, first, product(device, GgmlType.F32, 32, weights, in, 1));
            }
        }
        if (device.allocatedBytes() != before) {
            fail(STAGES + " stages left " + (device.allocatedBytes() - before) + " bytes of the device behind");
        }
    }

    private static float[] floats(int count) {
        var random = new Random(SEED);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    /** In place, to values that BF16 has: some kernels round activations to F16 or BF16, others do not. */
    private static float[] coarse(float[] values) {
        for (int i = 0; i < values.length; i++) {
            values[i] = Float.intBitsToFloat(Float.floatToRawIntBits(values[i]) & 0xffff_0000);
        }
        return values;
    }

    private void fail(String sentence) {
        wrong++;
        findings.wrong(sentence);
    }

    /** Differences are measured by the largest value. */
    private void compare(String what, float[] expected, float[] found, double tolerance) {
        done++;
        double scale = 1e-30;
        for (float value : expected) {
            scale = Math.max(scale, Math.abs(value));
        }
        double worst = 0;
        for (int i = 0; i < expected.length; i++) {
            double difference = Math.abs((double) expected[i] - found[i]) / scale;
            worst = difference <= worst ? worst : Double.isNaN(difference) ? Double.POSITIVE_INFINITY : difference;
        }
        if (!(worst <= tolerance)) {
            fail(what + ": off by " + worst + " of the largest value, allowed are " + tolerance);
        }
    }

    private void same(String what, float[] expected, float[] found) {
        done++;
        if (!Arrays.equals(expected, found)) {
            fail(what + ": not the same to the last bit");
        }
    }
}
