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
import shoal.codec.base.MalformedException;
import shoal.codec.command.CommandException;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.SplitPlan;
import shoal.codec.gguf.SplitPlanner;
import shoal.codec.gguf.VocabularyFile;
import shoal.codec.metainfo.InfoHash;
import shoal.codec.metainfo.ModelManifest;
import shoal.codec.wire.Sampling;

/**
 * What a model's vocabulary file tells.
 *
 * @param template null if the model has none that can be read
 */
record Model(
        ModelManifest manifest,
        ModelConfig config,
        Tokenizer tokenizer,
        @Nullable ChatTemplate template) {
    /** @throws CommandException if it is no vocabulary file */
    static Model read(Path file) throws IOException {
        try (ModelFile vocabulary = ModelFile.open(file)) {
            return new Model(
                    VocabularyFile.manifest(vocabulary.header()),
                    Architectures.config(vocabulary.header()),
                    Tokenizers.of(vocabulary.header()),
                    template(vocabulary));
        } catch (MalformedException malformed) {
            throw new CommandException(String.valueOf(malformed.getMessage()));
        }
    }

    /**
     * What the header of an unsplit model tells, with its layers cut for some stages. The manifest's shards are all the one file; its
     * name, with its ending, stands for the model's.
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
            var parts = plan.shards().stream()
                    .map(part -> new SplitPlan.ShardFile(
                            name + "." + part.layers(), piecesRoot, infoHash, plan.tensorBytes(part)))
                    .toList();
            return new Model(plan.manifest(parts), config, Tokenizers.of(header), template(whole));
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
        if (!sampling.grammar().isEmpty()) {
            try {
                Grammar.parse(sampling.grammar(), tokenizer);
            } catch (MalformedException wrong) {
                throw new CommandException(String.valueOf(wrong.getMessage()));
            }
        }
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
