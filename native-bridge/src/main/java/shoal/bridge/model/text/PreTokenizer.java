package shoal.bridge.model.text;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import shoal.codec.base.MalformedException;

/**
 * Cuts a text into the words that byte pairs are joined within. Each pattern cuts what the one before it left; what it does not match
 * is a word too. The patterns are those of the models' own tokenizers, as llama.cpp names them (key tokenizer.ggml.pre). In all of
 * them a repetition is over a single class and what may follow it is decided within one character, so that time is linear in the text
 * (within one run of white space or of letters each character is looked at a fixed number of times).
 *
 * @param wholeWords a word that is a token is taken as it is, whatever the merges say
 * @param addsBegin whether a begin token comes first where the file says nothing
 */
record PreTokenizer(List<Pattern> patterns, boolean wholeWords, boolean addsBegin) {
    private static final String SPACE = "\\p{IsWhite_Space}";
    private static final String TAIL = "|" + SPACE + "+(?!\\P{IsWhite_Space})|" + SPACE + "+";
    private static final String CONTRACTIONS = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
    private static final String OTHERS = " ?[^" + SPACE + "\\p{L}\\p{N}]+";

    private static final String GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|" + OTHERS + TAIL;

    /** Letters that are no capitals, or no small ones, of ASCII: the case of others is not asked for (llama.cpp does the same). */
    private static final String CAPITALS = "[\\p{L}&&[^a-z]]";

    private static final String SMALL = "[\\p{L}&&[^A-Z]]";

    private static final Map<String, PreTokenizer> BY_NAME = new TreeMap<>();

    static {
        define(
                plain(GPT2),
                "gpt-2",
                "phi-2",
                "mpt",
                "olmo",
                "jais",
                "trillion",
                "granite-docling",
                "exaone4",
                "gigachat");
        define(plain(GPT2), "a.x-4.0", "mellum", "modern-bert", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de");
        PreTokenizer digitByDigit = plain("\\p{N}", GPT2);
        define(
                digitByDigit,
                "starcoder",
                "refact",
                "command-r",
                "smollm",
                "codeshell",
                "exaone",
                "minerva-7b",
                "mellum2");
        String threeDigits = cased("\\p{N}{1,3}");
        define(plain(threeDigits), "smaug-bpe", "dbrx", "glm4", "chatglm-bpe");
        define(
                new PreTokenizer(compiled(threeDigits), true, true),
                "llama-bpe",
                "llama3",
                "llama-v3",
                "falcon3",
                "falcon-h1",
                "pixtral",
                "midm-2.0",
                "lfm2");
        define(
                plain(cased("\\p{N}")),
                "qwen2",
                "deepseek-r1-qwen",
                "stablelm2",
                "hunyuan",
                "megrez",
                "solar-open",
                "grok-2");
        define(plain(cased("\\p{N}")), "kormo");
        define(
                plain(CONTRACTIONS + "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^" + SPACE
                        + "\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" + SPACE + "*[\\r\\n]+" + TAIL),
                "qwen35");
        define(plain("[\\r\\n]", SPACE + "?\\p{L}+", SPACE + "?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", "\\p{N}"), "deepseek-coder");
        define(
                plain(
                        "\\p{N}{1,3}",
                        "[一-龥぀-ゟ゠-ヿ]+",
                        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
                                + "| ?[\\p{P}\\p{S}]+[\\r\\n]*|" + SPACE + "*[\\r\\n]+" + TAIL),
                "deepseek-v3",
                "hunyuan-dense",
                "joyai-llm");
        define(plain("[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"), "falcon");
        define(plain("[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"), "default");
        define(plain(byCase(CONTRACTIONS + "?", "\\p{N}{1,3}")), "gpt-4o", "llama4", "kanana2", "minimax-m2");
        define(new PreTokenizer(compiled(byCase("", "\\p{N}")), true, true), "tekken");
    }

    private static String cased(String digits) {
        return CONTRACTIONS + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" + digits + "|" + OTHERS + "[\\r\\n]*|" + SPACE
                + "*[\\r\\n]+" + TAIL;
    }

    private static String byCase(String ending, String digits) {
        String before = "[^\\r\\n\\p{L}\\p{N}]?";
        return before + CAPITALS + "*" + SMALL + "+" + ending + "|" + before + CAPITALS + "+" + SMALL + "*" + ending
                + "|" + digits + "|" + OTHERS + "[\\r\\n/]*|" + SPACE + "*[\\r\\n]+" + TAIL;
    }

    private static PreTokenizer plain(String... patterns) {
        return new PreTokenizer(compiled(patterns), false, false);
    }

    private static List<Pattern> compiled(String... patterns) {
        return Arrays.stream(patterns).map(Pattern::compile).toList();
    }

    private static void define(PreTokenizer words, String... names) {
        for (String name : names) {
            BY_NAME.put(name, words);
        }
    }

    /** @throws MalformedException naming a pre-tokenizer that is not known, and those that are */
    static PreTokenizer of(String name) {
        PreTokenizer found = BY_NAME.get(name);
        if (found == null) {
            throw new MalformedException("pre-tokenizer " + name
                    + " (tokenizer.ggml.pre) is not supported; supported are " + String.join(", ", BY_NAME.keySet()));
        }
        return found;
    }

    /** The words of the text in order; joined they are the text. */
    List<String> split(String text) {
        List<String> words = text.isEmpty() ? List.of() : List.of(text);
        for (Pattern pattern : patterns) {
            List<String> finer = new ArrayList<>();
            for (String word : words) {
                Matcher matcher = pattern.matcher(word);
                int from = 0;
                while (matcher.find()) {
                    if (matcher.start() > from) {
                        finer.add(word.substring(from, matcher.start()));
                    }
                    if (matcher.end() > matcher.start()) {
                        finer.add(matcher.group());
                    }
                    from = matcher.end();
                }
                if (from < word.length()) {
                    finer.add(word.substring(from));
                }
            }
            words = finer;
        }
        return words;
    }
}
