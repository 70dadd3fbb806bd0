package shoal.bridge.model.text;

import java.nio.charset.StandardCharsets;
import java.text.Normalizer;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import shoal.bridge.model.text.Vocabulary.Fragment;

/**
 * BERT's WordPiece as llama.cpp does it (llama-vocab.cpp, llm_tokenizer_wpm): words between white space, punctuation and Chinese
 * characters alone, each spelled by the longest tokens from its left; a word that cannot be spelled is the unknown token. The text
 * does not come back from its tokens: case, accents and white space are lost.
 */
final class WordPieceTokenizer implements Tokenizer {
    /** In front of the first piece of a word. */
    private static final char WORD_START = '▁';

    /** Longer tokens are never matched, so that time is bounded by the text's length. */
    private static final int MAX_PIECE = 256;

    private final Vocabulary vocabulary;
    private final boolean lowerCase;
    private final boolean stripAccents;
    private final int longestPiece;

    WordPieceTokenizer(Vocabulary vocabulary, boolean lowerCase, boolean stripAccents) {
        this.vocabulary = vocabulary;
        this.lowerCase = lowerCase;
        this.stripAccents = stripAccents;
        int longest = 0;
        for (int id = 0; id < vocabulary.size(); id++) {
            longest = Math.max(longest, vocabulary.text(id).length());
        }
        longestPiece = Math.min(longest, MAX_PIECE);
    }

    @Override
    public int[] encode(String text, boolean addSpecial, boolean parseSpecial) {
        Ids ids = new Ids();
        if (addSpecial && vocabulary.addsBegin()) {
            ids.add(vocabulary.beginOfText());
        }
        for (Fragment fragment : vocabulary.split(text, parseSpecial)) {
            switch (fragment) {
                case Fragment.Token(int id) -> ids.add(id);
                case Fragment.Text(String stretch) -> {
                    for (String word : words(stretch)) {
                        spell(WORD_START + word, ids);
                    }
                }
            }
        }
        if (addSpecial) {
            ids.add(vocabulary.separator());
        }
        return ids.toArray();
    }

    private void spell(String word, Ids ids) {
        int before = ids.count();
        int at = 0;
        while (at < word.length()) {
            int end = Math.min(word.length(), at + longestPiece);
            Integer id = null;
            while (end > at && (id = vocabulary.id(word.substring(at, end))) == null) {
                end--;
            }
            if (id == null) {
                ids.truncate(before);
                ids.add(vocabulary.unknown());
                return;
            }
            ids.add(id);
            at = end;
        }
    }

    private List<String> words(String text) {
        List<String> words = new ArrayList<>();
        StringBuilder word = new StringBuilder();
        text.codePoints().forEach(original -> {
            int c = stripAccents ? base(original) : original;
            int type = Character.getType(c);
            if (isWhiteSpace(c)) {
                finish(word, words);
            } else if (c != 0 && c != 0xfffd && !isControl(type) && !(stripAccents && isMark(type))) {
                int kept = lowerCase ? Character.toLowerCase(c) : c;
                if (isPunctuation(type) || c < 0x7f && isSymbol(type) || isChinese(c)) {
                    finish(word, words);
                    words.add(Character.toString(kept));
                } else {
                    word.appendCodePoint(kept);
                }
            }
        });
        finish(word, words);
        return words;
    }

    private static void finish(StringBuilder word, List<String> words) {
        if (!word.isEmpty()) {
            words.add(word.toString());
            word.setLength(0);
        }
    }

    /** The first character of the canonical decomposition. */
    private static int base(int c) {
        return c < 0x80 || c >= 0xd800 && c <= 0xdfff
                ? c
                : Normalizer.normalize(Character.toString(c), Normalizer.Form.NFD)
                        .codePointAt(0);
    }

    private static boolean isWhiteSpace(int c) {
        return Character.isSpaceChar(c) || c >= '\t' && c <= '\r' || c == 0x85;
    }

    private static boolean isControl(int type) {
        return type == Character.CONTROL
                || type == Character.FORMAT
                || type == Character.PRIVATE_USE
                || type == Character.SURROGATE;
    }

    private static boolean isMark(int type) {
        return type == Character.NON_SPACING_MARK
                || type == Character.COMBINING_SPACING_MARK
                || type == Character.ENCLOSING_MARK;
    }

    private static boolean isPunctuation(int type) {
        return type == Character.CONNECTOR_PUNCTUATION
                || type == Character.DASH_PUNCTUATION
                || type == Character.START_PUNCTUATION
                || type == Character.END_PUNCTUATION
                || type == Character.INITIAL_QUOTE_PUNCTUATION
                || type == Character.FINAL_QUOTE_PUNCTUATION
                || type == Character.OTHER_PUNCTUATION;
    }

    private static boolean isSymbol(int type) {
        return type == Character.MATH_SYMBOL
                || type == Character.CURRENCY_SYMBOL
                || type == Character.MODIFIER_SYMBOL
                || type == Character.OTHER_SYMBOL;
    }

    private static boolean isChinese(int c) {
        return c >= 0x4e00 && c <= 0x9fff
                || c >= 0x3400 && c <= 0x4dbf
                || c >= 0x20000 && c <= 0x2a6df
                || c >= 0x2a700 && c <= 0x2b73f
                || c >= 0x2b740 && c <= 0x2b81f
                || c >= 0x2b920 && c <= 0x2ceaf // a block of its own begins at 2b820; the models were trained without
                || c >= 0xf900 && c <= 0xfaff
                || c >= 0x2f800 && c <= 0x2fa1f;
    }

    @Override
    public byte[] bytes(int token, boolean special) {
        String text = vocabulary.checkedText(token);
        return switch (vocabulary.kind(token)) {
            case CONTROL, UNKNOWN -> (special ? text : "").getBytes(StandardCharsets.UTF_8);
            case USER_DEFINED -> text.getBytes(StandardCharsets.UTF_8);
            case NORMAL, UNUSED, BYTE -> text.replace(WORD_START, ' ').getBytes(StandardCharsets.UTF_8);
        };
    }

    @Override
    public int size() {
        return vocabulary.size();
    }

    @Override
    public Set<Integer> endOfGeneration() {
        return vocabulary.endOfGeneration();
    }

    @Override
    public int beginOfText() {
        return vocabulary.beginOfText();
    }
}
