package shoal.bridge.model.text;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.Gguf;

/** The tokens of a model, as its metadata lists them (keys tokenizer.ggml.*; llama.cpp, llama-vocab.cpp). */
final class Vocabulary {
    /** Kinds of tokens, by their number in tokenizer.ggml.token_type less 1. */
    enum Kind {
        NORMAL,
        UNKNOWN,
        CONTROL,
        USER_DEFINED,
        UNUSED,
        BYTE
    }

    /** Tokens by whose text llama.cpp knows an end of generation, beside those that the metadata names. */
    private static final Set<String> END_TEXTS = Set.of(
            "<|eot_id|>",
            "<|im_end|>",
            "<|end|>",
            "<|return|>",
            "<|call|>",
            "<end_of_turn>",
            "<|endoftext|>",
            "<|end_of_text|>",
            "<|eom_id|>",
            "_<EOT>",
            "<EOT>",
            "<｜end▁of▁sentence｜>",
            "<end_of_utterance>",
            "<|flush|>",
            "<|calls|>",
            "[EOT]",
            "[EOS]",
            "<eos>",
            "<turn|>",
            "<|tool_response>",
            "[e~[",
            "</s>");

    /** Paddings and separators of fill-in-the-middle, which end a generation too. */
    private static final Set<String> FILL_END_TEXTS = Set.of(
            "<|fim_pad|>",
            "<fim-pad>",
            "<fim_pad>",
            "<PAD>",
            "[PAD]",
            "<|fim_repo|>",
            "<|repo_name|>",
            "<fim-repo>",
            "<REPO>",
            "<reponame>",
            "<|file_sep|>");

    /** Marks of fill-in-the-middle: control tokens whatever the file calls them. */
    private static final Set<String> FILL_TEXTS = Set.of(
            "<|fim_prefix|>",
            "<fim-prefix>",
            "<fim_prefix>",
            "<｜fim▁begin｜>",
            "<PRE>",
            "▁<PRE>",
            "<|code_prefix|>",
            "<|prefix|>",
            "<|fim_suffix|>",
            "<fim-suffix>",
            "<fim_suffix>",
            "<｜fim▁hole｜>",
            "<SUF>",
            "▁<SUF>",
            "<|code_suffix|>",
            "<|suffix|>",
            "<|fim_middle|>",
            "<fim-middle>",
            "<fim_middle>",
            "<｜fim▁end｜>",
            "<MID>",
            "▁<MID>",
            "<|code_middle|>",
            "<|middle|>");

    /** Marks of the channels of a reply, which always show. */
    private static final Set<String> CHANNEL_TEXTS = Set.of("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>");

    /**
     * What holds where the metadata says nothing; an id of -1 is no token.
     * @param separator put behind a text, where the family does so
     */
    record Defaults(int begin, int end, int unknown, int separator, boolean addsBegin, boolean addsSpacePrefix) {
        static final Defaults SENTENCE_PIECE = new Defaults(1, 2, 0, -1, true, true);
        static final Defaults WORD_PIECE = new Defaults(101, -1, 100, 102, true, false);

        /** @param addsBegin as the pre-tokenizer has it */
        static Defaults bytePair(boolean addsBegin) {
            return new Defaults(11, 11, -1, -1, addsBegin, false);
        }
    }

    private final String[] texts;
    private final float[] scores;
    private final Kind[] kinds;
    private final Map<String, Integer> ids;
    private final List<Integer> special = new ArrayList<>();
    private final boolean[] swallowsSpaceBehind;
    private final Set<Integer> endOfGeneration = new TreeSet<>();
    private final int beginOfText;
    private final int endOfText;
    private final int unknown;
    private final int separator;
    private final boolean addsBegin;
    private final boolean addsEnd;
    private final boolean addsSpacePrefix;

    private Vocabulary(Gguf header, Defaults defaults) {
        texts = header.requiredTexts("tokenizer.ggml.tokens");
        scores = sized("tokenizer.ggml.scores", header.floats("tokenizer.ggml.scores"));
        kinds = kinds(header.ints("tokenizer.ggml.token_type"));
        ids = HashMap.newHashMap(texts.length);
        for (int id = 0; id < texts.length; id++) {
            ids.put(texts[id], id);
        }
        beginOfText = id(header, "bos_token_id", defaults.begin);
        endOfText = id(header, "eos_token_id", defaults.end);
        unknown = id(header, "unknown_token_id", defaults.unknown);
        separator = id(header, "seperator_token_id", defaults.separator); // llama.cpp's spelling
        addsBegin = header.booleanValue("tokenizer.ggml.add_bos_token", defaults.addsBegin);
        addsEnd = header.booleanValue("tokenizer.ggml.add_eos_token", false);
        addsSpacePrefix = header.booleanValue("tokenizer.ggml.add_space_prefix", defaults.addsSpacePrefix);
        for (int token : new int[] {endOfText, id(header, "eot_token_id", -1), id(header, "eom_token_id", -1)}) {
            if (token >= 0) {
                endOfGeneration.add(token);
            }
        }
        for (Set<String> marks : List.of(END_TEXTS, FILL_END_TEXTS, FILL_TEXTS, CHANNEL_TEXTS)) {
            for (String text : marks) {
                Integer id = ids.get(text);
                if (id != null) { // even where the file says another kind
                    kinds[id] = marks == CHANNEL_TEXTS ? Kind.USER_DEFINED : Kind.CONTROL;
                    if (marks == END_TEXTS || marks == FILL_END_TEXTS) {
                        endOfGeneration.add(id);
                    }
                }
            }
        }
        Integer end = ids.get("<|end|>");
        if (end != null
                && (ids.containsKey("<|return|>") && ids.containsKey("<|call|>")
                        || ids.containsKey("<|flush|>") && ids.containsKey("<|calls|>"))) {
            endOfGeneration.remove(end); // there it ends a message only
        }
        for (int id = 0; id < texts.length; id++) {
            switch (kinds[id]) {
                case CONTROL, USER_DEFINED, UNKNOWN -> special.add(id);
                case NORMAL, UNUSED, BYTE -> {}
            }
        }
        special.removeIf(id -> texts[id].isEmpty());
        special.sort(Comparator.comparingInt(id -> -texts[id].length()));
        swallowsSpaceBehind = swallowers(header.text("general.name"));
    }

    /** @throws MalformedException if lists differ in length or an id is out of bounds */
    static Vocabulary read(Gguf header, Defaults defaults) {
        return new Vocabulary(header, defaults);
    }

    private float[] sized(String key, float @Nullable [] values) {
        if (values == null) {
            return new float[texts.length];
        }
        if (values.length != texts.length) {
            throw new MalformedException(
                    key + " has " + values.length + " entries, tokenizer.ggml.tokens has " + texts.length);
        }
        return values;
    }

    private Kind[] kinds(int @Nullable [] numbers) {
        if (numbers != null && numbers.length != texts.length) {
            throw new MalformedException("tokenizer.ggml.token_type has " + numbers.length
                    + " entries, tokenizer.ggml.tokens has " + texts.length);
        }
        Kind[] known = Kind.values();
        Kind[] result = new Kind[texts.length];
        for (int id = 0; id < texts.length; id++) {
            int number = numbers == null ? 1 : numbers[id];
            result[id] = number < 1 || number > known.length ? Kind.NORMAL : known[number - 1];
        }
        return result;
    }

    private int id(Gguf header, String key, int absent) {
        int id = header.intValue("tokenizer.ggml." + key, absent < texts.length ? absent : -1);
        if (id < -1 || id >= texts.length) {
            throw new MalformedException("tokenizer.ggml." + key + " is " + id + ", allowed 0.." + (texts.length - 1));
        }
        return id;
    }

    /** Phi-3's special tokens take the white space behind them with them; llama.cpp knows the model by its name. */
    private boolean[] swallowers(@Nullable String modelName) {
        boolean[] result = new boolean[texts.length];
        String name = modelName == null ? "" : modelName.toLowerCase(Locale.ROOT);
        if (name.contains("phi-3") || name.contains("phi3")) {
            for (int id : special) {
                result[id] = !Set.of("<unk>", "<s>", "<|endoftext|>").contains(texts[id]);
            }
        }
        return result;
    }

    int size() {
        return texts.length;
    }

    String text(int id) {
        return texts[id];
    }

    /** @throws IllegalArgumentException if there is no such id */
    String checkedText(int id) {
        if (id < 0 || id >= texts.length) {
            throw new IllegalArgumentException("token id " + id + " is not in the vocabulary of " + texts.length);
        }
        return texts[id];
    }

    float score(int id) {
        return scores[id];
    }

    Kind kind(int id) {
        return kinds[id];
    }

    @Nullable Integer id(String text) {
        return ids.get(text);
    }

    /** The token of one byte: {@code <0x0A>}, or the character itself; else the unknown token, or -1. */
    int byteToken(int value) {
        Integer id = ids.get(String.format(Locale.ROOT, "<0x%02X>", value));
        if (id == null) {
            id = ids.get(String.valueOf((char) value));
        }
        return id == null ? unknown : id;
    }

    int beginOfText() {
        return beginOfText;
    }

    int unknown() {
        return unknown;
    }

    /** -1 if there is none. */
    int separator() {
        return separator;
    }

    int endOfText() {
        return endOfText;
    }

    boolean addsBegin() {
        return addsBegin && beginOfText >= 0;
    }

    boolean addsEnd() {
        return addsEnd && endOfText >= 0;
    }

    boolean addsSpacePrefix() {
        return addsSpacePrefix;
    }

    Set<Integer> endOfGeneration() {
        return endOfGeneration;
    }

    /** A stretch of text, or one token that was found in it. */
    sealed interface Fragment {
        record Text(String text) implements Fragment {}

        record Token(int id) implements Fragment {}
    }

    /** Cuts special tokens out of text, longest first. Without parseSpecial only user-defined ones. */
    List<Fragment> split(String text, boolean parseSpecial) {
        List<Fragment> fragments = new ArrayList<>();
        if (!text.isEmpty()) {
            fragments.add(new Fragment.Text(text));
        }
        for (int id : special) {
            if (!parseSpecial && kinds[id] != Kind.USER_DEFINED || text.indexOf(texts[id]) < 0) {
                continue;
            }
            List<Fragment> finer = new ArrayList<>();
            for (Fragment fragment : fragments) {
                switch (fragment) {
                    case Fragment.Token token -> finer.add(token);
                    case Fragment.Text(String stretch) -> cut(stretch, id, finer);
                }
            }
            fragments = finer;
        }
        return fragments;
    }

    private void cut(String stretch, int id, List<Fragment> out) {
        int from = 0;
        for (int at = stretch.indexOf(texts[id]); at >= 0; at = stretch.indexOf(texts[id], from)) {
            if (at > from) {
                out.add(new Fragment.Text(stretch.substring(from, at)));
            }
            out.add(new Fragment.Token(id));
            from = at + texts[id].length();
            while (swallowsSpaceBehind[id] && from < stretch.length() && isAsciiSpace(stretch.charAt(from))) {
                from++;
            }
        }
        if (from < stretch.length()) {
            out.add(new Fragment.Text(stretch.substring(from)));
        }
    }

    private static boolean isAsciiSpace(char c) {
        return c == ' ' || c >= '\t' && c <= '\r';
    }
}
