package shoal.bridge.model.arch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import shoal.bridge.SharedData;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.model.Batch;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.Stage;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.TensorSource;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.GgmlType;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.GgufWriter;
import shoal.codec.gguf.MetadataValue;
import shoal.codec.gguf.TensorInfo;
import tools.jackson.databind.JsonNode;

/**
 * Every reference model, by token ids: logits, the best token after every position, greedy ids. Then the same bits again in more
 * stages, smaller chunks, and from the oracle.
 */
class ArchitecturesTest {
    /** Of the largest logit (README of the references); an epsilon of 1e-6 in place of 1e-5 would be 3e-4. */
    private static final double TOLERANCE = 1e-4;

    @TestFactory
    Stream<DynamicTest> referenceModels() {
        List<DynamicTest> tests = new ArrayList<>();
        for (JsonNode model : SharedData.json("testdata/arch/references.json").get("models")) {
            tests.add(dynamicTest(model.get("name").asString(), () -> check(model)));
        }
        return tests.stream();
    }

    private static void check(JsonNode model) throws Exception {
        int context = model.get("n_ctx").asInt();
        try (ModelFile opened = open(model.get("file").asString());
                Arena arena = Arena.ofConfined();
                Kernels kernels = kernels("vector")) {
            TensorSource file = withFloatExperts(opened, arena);
            List<Logits> all = new ArrayList<>();
            try (Chain chain = new Chain(file, new StageSettings(kernels, context), 1)) {
                for (JsonNode prompt : model.get("prompts")) {
                    all.add(check(chain, prompt));
                }
            }
            JsonNode longest = model.get("prompts").get(2);
            int[] tokens = SharedData.ints(longest.get("prompt_tokens"));
            float[] whole = all.get(2).values();
            int layers = Architectures.config(file.header()).layers();
            for (int stages : new int[] {2, layers}) {
                try (Chain chain = new Chain(file, new StageSettings(kernels, context), stages)) {
                    chain.run(Arrays.copyOf(tokens, 37), Batch.Wanted.NONE);
                    float[] rest = chain.run(Arrays.copyOfRange(tokens, 37, tokens.length), Batch.Wanted.ALL);
                    assertArrayEquals(
                            Arrays.copyOfRange(whole, whole.length - rest.length, whole.length),
                            rest,
                            stages + " stages");
                }
            }
            int[] start = Arrays.copyOf(tokens, 60);
            try (Kernels oracle = kernels("scalar");
                    Chain chain = new Chain(file, new StageSettings(oracle, context), 1)) {
                float[] scalar = chain.run(start, Batch.Wanted.ALL);
                assertArrayEquals(Arrays.copyOf(whole, scalar.length), scalar, "the oracle");
            }
        }
    }

    /** Experts as the file has them. Activations go to them in 8 bits, so that logits are as near as llama.cpp's own. */
    @Test
    void expertsInMxfp4() throws Exception {
        JsonNode model = null;
        for (JsonNode each : SharedData.json("testdata/arch/references.json").get("models")) {
            model = each.get("name").asString().equals("gpt-oss") ? each : model;
        }
        assertNotNull(model);
        try (Kernels kernels = kernels("vector");
                Kernels oracle = kernels("scalar")) {
            assumeTrue(kernels.supportedTypes().contains(GgmlType.MXFP4), "there are no kernels for MXFP4");
            try (ModelFile opened = open("gpt-oss.gguf");
                    Chain chain = new Chain(opened, new StageSettings(kernels, 256), 4);
                    Chain plain = new Chain(opened, new StageSettings(oracle, 256), 1)) {
                for (JsonNode prompt : model.get("prompts")) {
                    chain.clear();
                    float[] logits = chain.run(SharedData.ints(prompt.get("prompt_tokens")), Batch.Wanted.LAST);
                    JsonNode expected = prompt.get("exact").get("logits");
                    double tolerance = 3 * prompt.get("llamacpp_max_abs_diff").asDouble();
                    for (int id = 0; id < logits.length; id++) {
                        assertEquals(expected.get(id).asDouble(), logits[id], tolerance, "logit of token " + id);
                    }
                }
                int[] tokens = SharedData.ints(model.get("prompts").get(0).get("prompt_tokens"));
                chain.clear();
                assertArrayEquals(
                        plain.run(tokens, Batch.Wanted.ALL), chain.run(tokens, Batch.Wanted.ALL), "the oracle");
            }
        }
    }

    /** What a header may say wrong, by key; null takes the key away. */
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            nullValues = "null",
            value = {
                "qwen2-yarn | qwen2.rope.scaling.type | bent | qwen2.rope.scaling.type is bent, which is not supported;"
                        + " supported are none, linear, yarn and longrope",
                "qwen2-yarn | qwen2.rope.scaling.factor | -1 | qwen2.rope.scaling.factor is -1.0, allowed are positive",
                "qwen2-yarn | qwen2.rope.scaling.original_context_length | 0 | is 0, allowed 1..",
                "qwen3 | qwen3.attention.key_length | 16 | keys of 16 values with values of 32 are not supported",
                "qwen3 | qwen3.attention.head_count | 2 | tensor blk.0.attn_q.weight has shape [64, 128], expected [64, 64]",
                "qwen3moe | qwen3moe.expert_count | 0 | qwen3moe.expert_count is 0, allowed 1..4096",
                "qwen3moe | qwen3moe.expert_count | 5 | tensor blk.0.ffn_gate_inp.weight has shape [32, 6], expected [32, 5]",
                "qwen3moe | qwen3moe.expert_used_count | 7 | qwen3moe.expert_used_count is 7, allowed 1..6",
                "qwen2moe | qwen2moe.expert_shared_feed_forward_length | 33 | tensor blk.0.ffn_gate_shexp.weight has shape",
                "gemma3 | gemma3.attention.sliding_window | -1 | gemma3.attention.sliding_window is -1, allowed 0..",
                "gemma2 | gemma2.attn_logit_softcapping | -5 | gemma2.attn_logit_softcapping is -5.0, allowed are positive",
                "gpt-oss | gpt-oss.attention.sliding_window | null | gpt-oss.attention.sliding_window",
                "phi3 | phi3.feed_forward_length | 31 | tensor blk.0.ffn_up.weight has shape [32, 64], expected [32, 62]",
                "granite | granite.logit_scale | 0 | granite.logit_scale is 0.0, allowed are positive",
                "granite | granite.rope.scaling.finetuned | false | granite.rope.scaling.finetuned is false",
                "starcoder2 | starcoder2.attention.layer_norm_epsilon | null | attention.layer_norm_rms_epsilon",
                "qwen3 | general.architecture | llama | llama.block_count",
                "qwen3 | general.type | adapter | this file is a LoRA adapter (general.type is adapter)",
                "qwen3 | general.type | mmproj | this file is a projector",
                "qwen3 | general.architecture | clip | this file is a projector",
            })
    void refusesWrongHeaders(String name, String key, @Nullable String value, String message) throws Exception {
        try (ModelFile opened = open(name + ".gguf");
                Arena arena = Arena.ofConfined();
                Kernels kernels = kernels("vector")) {
            SequencedMap<String, MetadataValue> metadata =
                    new LinkedHashMap<>(opened.header().metadata());
            if (value == null) {
                assertNotNull(metadata.remove(key), "no such key");
            } else if (value.matches("-?[0-9]+")) {
                metadata.put(key, new MetadataValue.Int32(Integer.parseInt(value)));
            } else if (value.equals("false")) {
                metadata.put(key, new MetadataValue.Bool(false));
            } else {
                metadata.put(key, new MetadataValue.Text(value));
            }
            TensorSource floats = withFloatExperts(opened, arena);
            TensorSource wrong = new Changed(
                    GgufWriter.write(metadata, floats.header().tensors()).gguf(), floats);
            MalformedException refused = assertThrows(
                    MalformedException.class, () -> new Chain(wrong, new StageSettings(kernels, 256), 1).close());
            assertTrue(refused.getMessage().contains(message), refused.getMessage());
        }
    }

    /** A Qwen 3 that calls itself a Qwen 2 has norms that a Qwen 2 would pass over. */
    @Test
    void refusesTensorsWithoutAPlace() throws Exception {
        try (ModelFile opened = open("qwen3.gguf");
                Kernels kernels = kernels("vector")) {
            SequencedMap<String, MetadataValue> metadata = new LinkedHashMap<>();
            opened.header().metadata().forEach((key, value) -> metadata.put(key.replace("qwen3.", "qwen2."), value));
            metadata.put("general.architecture", new MetadataValue.Text("qwen2"));
            TensorSource wrong = new Changed(
                    GgufWriter.write(metadata, opened.header().tensors()).gguf(), opened);
            MalformedException refused = assertThrows(
                    MalformedException.class, () -> new Chain(wrong, new StageSettings(kernels, 256), 1).close());
            assertEquals(
                    "tensor blk.0.attn_q_norm.weight has no place in architecture qwen2 as it is known here;"
                            + " this variant is not supported",
                    refused.getMessage());
        }
    }

    private static ModelFile open(String name) throws IOException {
        return ModelFile.open(SharedData.file("testdata/arch/" + name));
    }

    /** The same model with its MXFP4 tensors as floats, which is what "exact" was computed from. */
    private static TensorSource withFloatExperts(TensorSource source, Arena arena) {
        Map<String, MemorySegment> expanded = new HashMap<>();
        List<TensorInfo> tensors = new ArrayList<>();
        for (TensorInfo tensor : source.header().tensors()) {
            if (tensor.type() == GgmlType.MXFP4) {
                expanded.put(tensor.name(), floats(source.tensor(tensor), arena));
                tensors.add(new TensorInfo(tensor.name(), tensor.dimensions(), GgmlType.F32, 0));
            } else {
                tensors.add(tensor);
            }
        }
        Gguf header = GgufWriter.write(source.header().metadata(), tensors).gguf();
        return new TensorSource() {
            @Override
            public Gguf header() {
                return header;
            }

            @Override
            public MemorySegment tensor(TensorInfo tensor) {
                MemorySegment floats = expanded.get(tensor.name());
                return floats != null ? floats : source.tensor(source.header().requiredTensor(tensor.name()));
            }
        };
    }

    /** MXFP4 (OCP Microscaling Formats 1.0, section 5): a power of two, then 32 numbers of E2M1, low halves first. */
    private static MemorySegment floats(MemorySegment blocks, Arena arena) {
        float[] levels = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0f, -0.5f, -1, -1.5f, -2, -3, -4, -6};
        MemorySegment out = arena.allocate(blocks.byteSize() / 17 * 32 * Float.BYTES, 32);
        for (long block = 0; block < blocks.byteSize() / 17; block++) {
            float scale = (float) Math.scalb(1.0, (blocks.get(ValueLayout.JAVA_BYTE, block * 17) & 0xff) - 127);
            for (int i = 0; i < 32; i++) {
                int pair = blocks.get(ValueLayout.JAVA_BYTE, block * 17 + 1 + i % 16);
                int level = i < 16 ? pair & 15 : pair >> 4 & 15;
                out.setAtIndex(ValueLayout.JAVA_FLOAT, block * 32 + i, scale * levels[level]);
            }
        }
        return out;
    }

    /** Another header for the same tensors. */
    private record Changed(Gguf header, TensorSource source) implements TensorSource {
        @Override
        public MemorySegment tensor(TensorInfo tensor) {
            return source.tensor(source.header().requiredTensor(tensor.name()));
        }
    }

    private static Logits check(Chain chain, JsonNode prompt) {
        String text = prompt.get("prompt").asString();
        JsonNode exact = prompt.get("exact");
        int[] tokens = SharedData.ints(prompt.get("prompt_tokens"));
        JsonNode expected = exact.get("logits");
        double scale = 0;
        for (JsonNode logit : expected) {
            scale = Math.max(scale, Math.abs(logit.asDouble()));
        }
        chain.clear();
        Logits logits = new Logits(chain.run(tokens, Batch.Wanted.ALL), expected.size());
        float[] last = logits.row(tokens.length - 1);
        for (int id = 0; id < last.length; id++) {
            assertEquals(expected.get(id).asDouble(), last[id], TOLERANCE * scale, text + ": logit of token " + id);
        }
        JsonNode best = exact.get("argmax_per_position");
        for (int position = 0; position < tokens.length; position++) {
            float[] row = logits.row(position);
            JsonNode pair = best.get(position);
            assertEquals(pair.get(1).asDouble(), row[argmax(row)], TOLERANCE * scale, text + ": position " + position);
            assertEquals(pair.get(1).asDouble(), row[pair.get(0).asInt()], TOLERANCE * scale, text);
        }
        List<Integer> greedy = new ArrayList<>();
        int next = argmax(last);
        int wanted = exact.get("greedy").size();
        while (greedy.size() < wanted) {
            greedy.add(next);
            next = argmax(chain.run(new int[] {next}, Batch.Wanted.LAST));
        }
        assertEquals(SharedData.list(exact.get("greedy")), greedy, text);
        JsonNode end = exact.get("eog_token");
        if (!end.isNull()) {
            assertEquals(end.asInt(), next, text + ": the end");
        }
        return logits;
    }

    private static Kernels kernels(String provider) {
        KernelSettings settings = new KernelSettings(provider, 1);
        return KernelChoice.of(settings).provider().open(settings);
    }

    private static int argmax(float[] values) {
        int best = 0;
        for (int i = 1; i < values.length; i++) {
            best = values[i] > values[best] ? i : best;
        }
        return best;
    }

    /** One row per position. */
    private record Logits(float[] values, int width) {
        float[] row(int position) {
            return Arrays.copyOfRange(values, position * width, (position + 1) * width);
        }
    }

    /** Stages of about as many layers each, and one sequence through them. */
    private static final class Chain implements AutoCloseable {
        private final List<Stage> stages = new ArrayList<>();
        private final List<SequenceMemory> sequences = new ArrayList<>();
        private int position;

        Chain(TensorSource source, StageSettings settings, int count) {
            int layers = Architectures.config(source.header()).layers();
            for (int i = 0; i < count; i++) {
                stages.add(Architectures.open(
                        source, new LayerRange(layers * i / count, layers * (i + 1) / count - 1), settings));
                sequences.add(stages.getLast().openSequence());
            }
        }

        void clear() {
            sequences.forEach(sequence -> sequence.truncate(0));
            position = 0;
        }

        float[] run(int[] tokens, Batch.Wanted wanted) {
            float[] values = new float[0];
            for (int i = 0; i < stages.size(); i++) {
                Batch batch = i == 0
                        ? Batch.ofTokens(sequences.getFirst(), position, tokens, wanted)
                        : Batch.ofActivations(
                                sequences.get(i), position, tokens.length, MemorySegment.ofArray(values), wanted);
                values = new float[(int) (stages.get(i).outputBytes(batch) / Float.BYTES)];
                stages.get(i).run(batch, MemorySegment.ofArray(values));
            }
            position += tokens.length;
            return values;
        }

        @Override
        public void close() {
            sequences.forEach(SequenceMemory::close);
            stages.forEach(Stage::close);
        }
    }
}
