package shoal.bridge.generate;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.model.Batch;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.Stage;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.TensorSource;
import shoal.bridge.model.arch.Architectures;
import shoal.bridge.model.sampling.Sampler;
import shoal.bridge.model.sampling.SamplingParameters;
import shoal.bridge.model.text.Detokenizer;
import shoal.bridge.model.text.Tokenizer;
import shoal.bridge.model.text.Tokenizers;

/**
 * A whole model in one process, cut into one stage or several. The source and the kernels are the caller's and outlive it. One
 * thread at a time.
 */
public final class LocalGenerator implements AutoCloseable {
    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** Tokens of a prompt that run together. */
    private static final int DEFAULT_CHUNK = 512;

    private final Tokenizer tokenizer;
    private final List<Stage> stages;
    private final int chunk;

    private LocalGenerator(Tokenizer tokenizer, List<Stage> stages, int chunk) {
        this.tokenizer = tokenizer;
        this.stages = stages;
        this.chunk = chunk;
    }

    /** All layers in one stage. @throws shoal.codec.base.MalformedException as {@link Architectures#open} does */
    public static LocalGenerator open(TensorSource source, StageSettings settings) {
        return open(source, settings, 1, DEFAULT_CHUNK);
    }

    /** As many stages of about as many layers, and prompts in chunks of so many tokens. The result is the same. */
    public static LocalGenerator open(TensorSource source, StageSettings settings, int stageCount, int chunk) {
        ModelConfig config = Architectures.config(source.header());
        if (stageCount < 1 || stageCount > config.layers() || chunk < 1) {
            throw new IllegalArgumentException(stageCount + " stages and chunks of " + chunk + " tokens, allowed 1.."
                    + config.layers() + " and 1 or more");
        }
        List<Stage> stages = new ArrayList<>();
        try {
            for (int i = 0; i < stageCount; i++) {
                stages.add(Architectures.open(
                        source,
                        new shoal.codec.base.LayerRange(
                                config.layers() * i / stageCount, config.layers() * (i + 1) / stageCount - 1),
                        settings));
            }
            return new LocalGenerator(Tokenizers.of(source.header()), stages, chunk);
        } catch (RuntimeException failure) {
            stages.forEach(Stage::close);
            throw failure;
        }
    }

    /** Who hears what comes. */
    @FunctionalInterface
    public interface Listener {
        /** @param text the characters that this token completes, perhaps none */
        void token(int id, String text);
    }

    public Tokenizer tokenizer() {
        return tokenizer;
    }

    public int contextLength() {
        return stages.getFirst().contextLength();
    }

    /**
     * Continues a raw prompt: the model's own rule about its first token, special tokens in it recognised, no chat template.
     *
     * @throws IllegalArgumentException past the context length, naming both numbers, or for a prompt without any token
     */
    public Generation generate(
            String prompt, int maxTokens, SamplingParameters sampling, long seed, Listener listener) {
        return generate(tokenizer.encode(prompt, true, true), maxTokens, sampling, seed, listener);
    }

    /** As above, from token ids. */
    public Generation generate(int[] prompt, int maxTokens, SamplingParameters sampling, long seed, Listener listener) {
        if (maxTokens < 0) {
            throw new IllegalArgumentException(maxTokens + " tokens are asked for, allowed are 0 or more");
        }
        requireRoom(prompt.length, maxTokens);
        List<Integer> tokens = new ArrayList<>();
        StringBuilder text = new StringBuilder();
        Detokenizer detokenizer = new Detokenizer(tokenizer, true);
        Generation.Stop stop = Generation.Stop.LENGTH;
        try (Run run = new Run()) {
            int[] next = prompt;
            while (tokens.size() < maxTokens) {
                float[] logits = run.logits(next);
                int id = Sampler.sample(logits, sampling, seed, prompt.length + tokens.size())
                        .id();
                if (tokenizer.endOfGeneration().contains(id)) {
                    stop = Generation.Stop.EOS;
                    break;
                }
                tokens.add(id);
                String piece = detokenizer.next(id);
                text.append(piece);
                listener.token(id, piece);
                next = new int[] {id};
            }
        }
        text.append(detokenizer.end());
        return new Generation(Arrays.stream(prompt).boxed().toList(), tokens, text.toString(), stop);
    }

    /** The logits behind the last of these tokens. */
    public float[] logits(int[] tokens) {
        requireRoom(tokens.length, 0);
        try (Run run = new Run()) {
            return run.logits(tokens);
        }
    }

    private void requireRoom(int promptTokens, int maxTokens) {
        if (promptTokens == 0) {
            throw new IllegalArgumentException("the prompt has no tokens; give some text");
        }
        if ((long) promptTokens + maxTokens > contextLength()) {
            throw new IllegalArgumentException("the prompt's " + promptTokens + " tokens and " + maxTokens
                    + " new ones are " + ((long) promptTokens + maxTokens) + ", but the context length is "
                    + contextLength() + "; shorten the prompt or ask for fewer tokens");
        }
    }

    @Override
    public void close() {
        stages.forEach(Stage::close);
    }

    /** One sequence through all stages. */
    private final class Run implements AutoCloseable {
        private final List<SequenceMemory> sequences = new ArrayList<>();
        private int position;

        Run() {
            for (Stage stage : stages) {
                sequences.add(stage.openSequence());
            }
        }

        float[] logits(int[] tokens) {
            float[] logits = new float[0];
            for (int from = 0; from < tokens.length; from += chunk) {
                int to = Math.min(from + chunk, tokens.length);
                logits = runChunk(Arrays.copyOfRange(tokens, from, to), to == tokens.length);
            }
            return logits;
        }

        private float[] runChunk(int[] tokens, boolean last) {
            Batch.Wanted wanted = last ? Batch.Wanted.LAST : Batch.Wanted.NONE;
            Batch.Input input = new Batch.Input.Tokens(tokens);
            MemorySegment output = MemorySegment.NULL;
            for (int i = 0; i < stages.size(); i++) {
                Batch batch =
                        new Batch(List.of(new Batch.Slice(sequences.get(i), position, tokens.length, wanted)), input);
                output = MemorySegment.ofArray(new float[(int) (stages.get(i).outputBytes(batch) / Float.BYTES)]);
                stages.get(i).run(batch, output);
                input = new Batch.Input.Activations(output);
            }
            position += tokens.length;
            return output.toArray(FLOAT);
        }

        @Override
        public void close() {
            sequences.forEach(SequenceMemory::close);
        }
    }
}
