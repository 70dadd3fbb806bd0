package shoal.verticles.coordinator;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.Presence;
import shoal.bridge.model.arch.Architectures;
import shoal.bridge.model.text.ChatTemplate;
import shoal.bridge.model.text.Tokenizer;
import shoal.bridge.model.text.Tokenizers;
import shoal.bridge.model.text.grammar.Grammar;
import shoal.bridge.model.text.jinja.TemplateException;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.command.CommandException;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.LayerWeights;
import shoal.codec.gguf.SplitPlan;
import shoal.codec.gguf.SplitPlanner;
import shoal.codec.gguf.VocabularyFile;
import shoal.codec.metainfo.InfoHash;
import shoal.codec.metainfo.ModelManifest;
import shoal.codec.wire.Sampling;

/**
 * What a model's vocabulary file tells, or the header of one that is not split.
 *
 * @param template null if the model has none that can be read
 * @param kind of its weights, as {@link LayerWeights#kind}
 * @param metadataBytes what each shard has beside its tensors
 * @param whole where the shards are cut from; null if they are files
 */
record Model(
        ModelManifest manifest,
        ModelConfig config,
        Tokenizer tokenizer,
        @Nullable ChatTemplate template,
        String kind,
        long metadataBytes,
        @Nullable Whole whole) {
    /** The one file of an unsplit model; its name, with its ending, stands for the model's. */
    record Whole(Gguf header, String name, Hash256 piecesRoot, InfoHash infoHash, long size) {
        ModelManifest manifest(SplitPlan plan) {
            return plan.manifest(plan.shards().stream()
                    .map(part -> new SplitPlan.ShardFile(
                            name + "." + part.layers(), piecesRoot, infoHash, plan.tensorBytes(part)))
                    .toList());
        }
    }

    /** @throws CommandException if it is no vocabulary file */
    static Model read(Path file) throws IOException {
        try (ModelFile vocabulary = ModelFile.open(file)) {
            return new Model(
                    VocabularyFile.manifest(vocabulary.header()),
                    Architectures.config(vocabulary.header()),
                    Tokenizers.of(vocabulary.header()),
                    template(vocabulary),
                    LayerWeights.kind(vocabulary.header()),
                    vocabulary.sizeBytes(),
                    null);
        } catch (MalformedException malformed) {
            throw new CommandException(String.valueOf(malformed.getMessage()));
        }
    }

    /**
     * What the header of an unsplit model tells, with its layers cut for some stages until {@link #cutAt} knows better. The manifest's
     * shards are all the one file.
     *
     * @param file sparse or whole; its header is here
     * @throws CommandException if it is no model, or can't be cut
     */
    static Model cut(Path file, String name, Hash256 piecesRoot, InfoHash infoHash, int stages) throws IOException {
        try (ModelFile whole = ModelFile.openSparse(file, Presence.ALL)) {
            Gguf header = whole.header();
            ModelConfig config = Architectures.config(header);
            SplitPlan plan =
                    SplitPlanner.plan(header, piecesRoot, name, whole.sizeBytes(), Math.min(stages, config.layers()));
            var origin = new Whole(header, name, piecesRoot, infoHash, whole.sizeBytes());
            return new Model(
                    origin.manifest(plan),
                    config,
                    Tokenizers.of(header),
                    template(whole),
                    LayerWeights.kind(header),
                    0,
                    origin);
        } catch (MalformedException malformed) {
            throw new CommandException(String.valueOf(malformed.getMessage()));
        }
    }

    private static @Nullable ChatTemplate template(ModelFile vocabulary) {
        try {
            return ChatTemplate.of(vocabulary.header());
        } catch (MalformedException | TemplateException none) {
            return null;
        }
    }

    /** The same model, cut elsewhere. @throws IllegalStateException if its shards are files */
    Model cutAt(List<LayerRange> ranges) {
        Whole file = whole;
        if (file == null) {
            throw new IllegalStateException("shards of " + name() + " are files, which can't be cut anew");
        }
        SplitPlan plan = SplitPlanner.plan(file.header(), file.piecesRoot(), file.name(), file.size(), ranges);
        return new Model(file.manifest(plan), config, tokenizer, template, kind, metadataBytes, file);
    }

    boolean isUnsplit() {
        return whole != null;
    }

    /** What can be placed, as fine as it can be: shards that are files, layers of a model that is not split. */
    List<LayerWeights.Part> finestParts() {
        return whole == null ? shardParts() : LayerWeights.ofLayers(whole.header());
    }

    /** The shards as they are now. */
    List<LayerWeights.Part> shardParts() {
        Whole file = whole;
        return file == null
                ? LayerWeights.ofShards(manifest, metadataBytes)
                : manifest.shards().stream()
                        .map(shard -> new LayerWeights.Part(
                                shard.layers(), shard.size(), LayerWeights.tokenBytes(file.header(), shard.layers())))
                        .toList();
    }

    List<LayerRange> shardRanges() {
        return manifest.shards().stream().map(ModelManifest.Shard::layers).toList();
    }

    String name() {
        return manifest.modelName();
    }

    /** The longest sequence. @param own a lower bound of this machine's, or 0 */
    int contextLength(int own) {
        return own == 0 ? config.contextLength() : Math.min(own, config.contextLength());
    }

    /** Whether a rendered prompt has the model's first token in it already. */
    boolean beginsItself(String prompt) {
        int begin = tokenizer.beginOfText();
        return begin >= 0 && prompt.startsWith(new String(tokenizer.bytes(begin, true), StandardCharsets.UTF_8));
    }

    /** @throws CommandException if there is a grammar that cannot be read */
    void checkGrammar(Sampling sampling) {
        if (!sampling.grammar().isEmpty()) {
            try {
                Grammar.parse(sampling.grammar(), tokenizer);
            } catch (MalformedException wrong) {
                throw new CommandException(String.valueOf(wrong.getMessage()));
            }
        }
    }

    /**
     * A prompt as token ids, once it is sure that it can be run.
     *
     * @param begin whether the model's first token is put before it
     * @throws CommandException if it has no tokens, or more than the context length leaves room for, or the grammar is wrong
     */
    List<Integer> tokens(String prompt, boolean begin, int maxTokens, Sampling sampling, int context) {
        checkGrammar(sampling);
        var tokens = new ArrayList<Integer>();
        for (int token : tokenizer.encode(prompt, begin, true)) {
            tokens.add(token);
        }
        if (tokens.isEmpty()) {
            throw new CommandException("the prompt has no tokens; give some text");
        }
        if ((long) tokens.size() + maxTokens > context) {
            throw new CommandException("the prompt's " + tokens.size() + " tokens and " + maxTokens + " new ones are "
                    + ((long) tokens.size() + maxTokens) + ", but the context length is " + context
                    + "; shorten the prompt or ask for fewer tokens");
        }
        return tokens;
    }
}
