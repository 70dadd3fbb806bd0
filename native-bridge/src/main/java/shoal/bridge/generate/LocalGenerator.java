package shoal.bridge.generate;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.TopLogits;
import shoal.bridge.model.Batch;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.Stage;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.TensorSource;
import shoal.bridge.model.arch.Architectures;
import shoal.bridge.model.sampling.SampledToken;
import shoal.bridge.model.sampling.Sampler;
import shoal.bridge.model.sampling.TokenHistory;
import shoal.bridge.model.text.Detokenizer;
import shoal.bridge.model.text.StopTexts;
import shoal.bridge.model.text.Tokenizer;
import shoal.bridge.model.text.Tokenizers;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SamplingState;
import shoal.codec.wire.TokenLogprob;

/**
 * A whole model in one process, cut into one stage or several. The source and the kernels are the caller's and outlive it. One
 * thread at a time.
 */
public final class LocalGenerator implements AutoCloseable {
    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** Tokens of a prompt that run together. */
    private static final int DEFAULT_CHUNK = 512;

    private static final int FIRST_DRAFT = 4;
    private static final int LONGEST_DRAFT = 16;

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

    /**
     * One more token.
     *
     * @param text the characters that can be shown now, perhaps none
     * @param logprob natural logarithm of the token's probability by the model
     * @param top the likeliest tokens, as many as were asked for
     */
    public record Token(int id, String text, float logprob, List<TokenLogprob> top) {}

    /** Who hears what comes. */
    @FunctionalInterface
    public interface Listener {
        void token(Token token);

        /** Asked before each token; false ends the generation. */
        default boolean wantsMore() {
            return true;
        }
    }

    /** Which layers run where, if that is not all on what was asked for first; else empty. */
    public String placement() {
        return stages.stream()
                .map(Stage::placement)
                .filter(place -> !place.isEmpty())
                .collect(Collectors.joining("; "));
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
    public Generation generate(String prompt, int maxTokens, Sampling sampling, Listener listener) {
        return generate(GenerationRequest.of(tokenizer.encode(prompt, true, true), maxTokens, sampling), listener);
    }

    /** As {@link #generate(GenerationRequest, Context, Listener)}, in a context of its own. */
    public Generation generate(GenerationRequest request, Listener listener) {
        try (Context context = openContext()) {
            return generate(request, context, listener);
        }
    }

    /**
     * Continues a prompt. What the context holds of it is not computed again.
     *
     * @throws IllegalArgumentException past the context length, naming both numbers, or for a prompt without any token
     * @throws shoal.codec.base.MalformedException if there is a grammar that cannot be read
     */
    public Generation generate(GenerationRequest request, Context context, Listener listener) {
        requireRoom(request.prompt().length, request.contextShift() ? 0 : request.maxTokens());
        return new Generating(request, context, listener).run();
    }

    /** Keys and values of a sequence, kept from one prompt to the next; the caller closes it. */
    public Context openContext() {
        return new Context();
    }

    /** The logits behind the last of these tokens. */
    public float[] logits(int[] tokens) {
        requireRoom(tokens.length, 0);
        try (Context context = openContext()) {
            return context.logitsBehind(tokens);
        }
    }

    private static void copyRow(MemorySegment output, int row, float[] logits) {
        MemorySegment.copy(output, FLOAT, row * TopLogits.rowBytes(0, logits.length), logits, 0, logits.length);
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

    /** One generation. */
    private final class Generating {
        private final GenerationRequest request;
        private final Context context;
        private final Listener listener;
        private final Sampler sampler;

        /** How many of a row's highest logits the last stage picks, since they decide alone; 0 for all logits. */
        private final int picks;

        /** Used where nothing is picked. */
        private final float[] logits;

        private final TokenHistory history;
        private final List<Integer> tokens = new ArrayList<>();
        private final StringBuilder text = new StringBuilder();
        private final Detokenizer detokenizer = new Detokenizer(tokenizer, true);
        private final StopTexts stops;
        private SamplingState state = SamplingState.START;

        /** What the model sees: the first windowSize of these; grows. */
        private int[] window;

        private int windowSize;
        private Generation.@Nullable Stop stop;
        private int drafted;
        private int accepted;

        /** How many tokens are drafted next: more after a good guess, fewer after a bad one. */
        private int reach = FIRST_DRAFT;

        Generating(GenerationRequest request, Context context, Listener listener) {
            this.request = request;
            this.context = context;
            this.listener = listener;
            this.sampler = Sampler.of(request.sampling(), tokenizer);
            Stage last = stages.getLast();
            int deciding = Math.min(sampler.deciding(), last.outputWidth());
            this.picks = deciding <= last.mostPicks() ? deciding : 0;
            this.logits = new float[picks > 0 ? 0 : last.outputWidth()];
            this.history = new TokenHistory(request.prompt());
            this.window = request.prompt().clone();
            this.windowSize = window.length;
            this.stops = new StopTexts(request.stop());
        }

        Generation run() {
            if (request.maxTokens() == 0) {
                stop = Generation.Stop.LENGTH;
            }
            while (stop == null) {
                if (windowSize >= contextLength() && tokens.size() > 0 && request.contextShift()) {
                    shift();
                }
                int[] draft = draft(windowSize);
                makeRoom(draft.length + 1);
                System.arraycopy(draft, 0, window, windowSize, draft.length);
                MemorySegment output = context.run(window, windowSize + draft.length, 1 + draft.length, picks);
                drafted += draft.length;
                int right = 0;
                for (int row = 0; row <= draft.length; row++) {
                    int token = take(output, row);
                    if (stop != null) {
                        break;
                    }
                    window[windowSize++] = token;
                    if (right == draft.length || token != draft[right]) {
                        break;
                    }
                    right++;
                }
                accepted += right;
                reach = right == draft.length ? Math.min(LONGEST_DRAFT, 2 * reach) : Math.max(1, right + 1);
            }
            String rest = stops.next(detokenizer.end());
            text.append(rest).append(stops.end());
            return new Generation(boxed(request.prompt()), tokens, text.toString(), stop, drafted, accepted);
        }

        /** Keeps the first token, which begins the text, and the later half of the others. */
        private void shift() {
            int first = window[0] == tokenizer.beginOfText() ? 1 : 0;
            int from = first + (windowSize - first + 1) / 2;
            System.arraycopy(window, from, window, first, windowSize - from);
            windowSize -= from - first;
        }

        private void makeRoom(int more) {
            if (windowSize + more > window.length) {
                window = Arrays.copyOf(window, 2 * (windowSize + more));
            }
        }

        private int[] draft(int windowSize) {
            Drafter drafter = request.drafter();
            if (drafter == null || tokens.isEmpty()) {
                return new int[0];
            }
            int most = Math.min(reach, request.maxTokens() - tokens.size() - 1);
            return drafter.draft(history, Math.max(0, Math.min(most, contextLength() - windowSize)));
        }

        private SampledToken sample(MemorySegment output, int row) {
            if (picks > 0) {
                long at = row * TopLogits.rowBytes(picks, stages.getLast().outputWidth());
                return sampler.sample(TopLogits.read(output, at, picks), history.size(), state);
            }
            copyRow(output, row, logits);
            return sampler.sample(logits, history, state);
        }

        /** Samples the next token from a row of output and tells it, or sets why it ends. */
        private int take(MemorySegment output, int row) {
            if (!listener.wantsMore()) {
                stop = Generation.Stop.CANCELLED;
                return -1;
            }
            SampledToken sampled = sample(output, row);
            state = sampled.next();
            int id = sampled.id();
            if (tokenizer.endOfGeneration().contains(id)) {
                stop = Generation.Stop.EOS;
                return id;
            }
            history.add(id);
            tokens.add(id);
            String shown = stops.next(detokenizer.next(id));
            text.append(shown);
            listener.token(new Token(id, shown, sampled.logprob(), sampled.top()));
            if (stops.stopped()) {
                stop = Generation.Stop.STOP;
            } else if (tokens.size() == request.maxTokens()) {
                stop = Generation.Stop.LENGTH;
            }
            return id;
        }
    }

    private static List<Integer> boxed(int[] values) {
        return Arrays.stream(values).boxed().toList();
    }

    /** One sequence through all stages, and which tokens it holds. One thread at a time. */
    public final class Context implements AutoCloseable {
        private final List<SequenceMemory> sequences = new ArrayList<>();
        private int[] held = new int[0];
        private int heldCount;
        private MemorySegment[] outputs = new MemorySegment[0];
        private float[] lastRow = new float[0];

        private Context() {
            for (Stage stage : stages) {
                sequences.add(stage.openSequence());
            }
        }

        /** The logits behind the last of these tokens; valid until the next call. */
        float[] logitsBehind(int[] tokens) {
            if (lastRow.length == 0) {
                lastRow = new float[stages.getLast().outputWidth()];
            }
            copyRow(run(tokens, tokens.length, 1, 0), 0, lastRow);
            return lastRow;
        }

        /**
         * What is wanted behind each of the last rows of the first count tokens, row after row; valid until the next call. Only those
         * are computed that the context does not hold.
         *
         * @param picks of a row's highest logits, as {@link TopLogits}; 0 for whole rows
         */
        MemorySegment run(int[] tokens, int count, int rows, int picks) {
            int firstRow = count - rows;
            int same = Arrays.mismatch(held, 0, heldCount, tokens, 0, count);
            int from = Math.min(same < 0 ? count : same, firstRow);
            heldCount = from; // if it fails behind here, this much is sure
            while (from < firstRow && (rows > 1 || count - from > chunk)) {
                int to = Math.min(from + chunk, firstRow);
                runChunk(tokens, from, to, Batch.Wanted.NONE, 0);
                from = to;
            }
            runChunk(tokens, from, count, rows == 1 ? Batch.Wanted.LAST : Batch.Wanted.ALL, picks);
            if (held.length < count) {
                held = Arrays.copyOf(held, 2 * count);
            }
            System.arraycopy(tokens, heldCount, held, heldCount, count - heldCount);
            heldCount = count;
            return outputs[stages.size() - 1];
        }

        private void runChunk(int[] tokens, int from, int to, Batch.Wanted wanted, int picks) {
            Batch.Input input = new Batch.Input.Tokens(Arrays.copyOfRange(tokens, from, to));
            if (outputs.length == 0) {
                outputs = new MemorySegment[stages.size()];
                Arrays.fill(outputs, MemorySegment.NULL);
            }
            for (int i = 0; i < stages.size(); i++) {
                Batch batch =
                        new Batch(List.of(new Batch.Slice(sequences.get(i), from, to - from, wanted, picks)), input);
                long bytes = stages.get(i).outputBytes(batch);
                if (outputs[i].byteSize() < bytes) {
                    outputs[i] = MemorySegment.ofArray(new float[Math.toIntExact(bytes / Float.BYTES)]);
                }
                stages.get(i).run(batch, outputs[i]);
                input = new Batch.Input.Activations(outputs[i]);
            }
        }

        @Override
        public void close() {
            sequences.forEach(SequenceMemory::close);
        }
    }
}
