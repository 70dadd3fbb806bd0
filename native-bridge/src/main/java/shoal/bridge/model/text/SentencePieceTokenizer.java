package shoal.bridge.model.text;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.PriorityQueue;
import java.util.Set;
import shoal.bridge.model.text.Vocabulary.Fragment;

/**
 * SentencePiece's BPE as llama.cpp does it (llama-vocab.cpp, llm_tokenizer_spm): spaces become U+2581, then, of all neighbours whose
 * joined text is a token, those of the highest score are joined first, leftmost among equals; what is no token in the end is
 * spelled in byte tokens.
 */
final class SentencePieceTokenizer implements Tokenizer {
    private static final char SPACE = '▁';

    private final Vocabulary vocabulary;
    private final int[] byteTokens = new int[256];

    SentencePieceTokenizer(Vocabulary vocabulary) {
        this.vocabulary = vocabulary;
        Arrays.setAll(byteTokens, vocabulary::byteToken);
    }

    @Override
    public int[] encode(String text, boolean addSpecial, boolean parseSpecial) {
        Ids ids = new Ids();
        if (addSpecial && vocabulary.addsBegin()) {
            ids.add(vocabulary.beginOfText());
        }
        boolean afterSpecial = true;
        for (Fragment fragment : vocabulary.split(text, parseSpecial)) {
            switch (fragment) {
                case Fragment.Token(int id) -> {
                    ids.add(id);
                    afterSpecial = true;
                }
                case Fragment.Text(String stretch) -> {
                    String prefix = vocabulary.addsSpacePrefix() && afterSpecial ? " " : "";
                    encodeStretch((prefix + stretch).replace(' ', SPACE), ids);
                    afterSpecial = false;
                }
            }
        }
        if (addSpecial && vocabulary.addsEnd()) {
            ids.add(vocabulary.endOfText());
        }
        return ids.toArray();
    }

    /** Two neighbours that would make a token; stale once either has changed. */
    private record Pair(int left, int right, float score, int length) implements Comparable<Pair> {
        @Override
        public int compareTo(Pair other) {
            int byScore = Float.compare(other.score, score);
            return byScore != 0 ? byScore : Integer.compare(left, other.left);
        }
    }

    private void encodeStretch(String text, Ids ids) {
        int count = text.codePointCount(0, text.length());
        int[] start = new int[count];
        int[] end = new int[count]; // end == start: joined to its left neighbour
        int[] previous = new int[count];
        int[] next = new int[count];
        for (int i = 0, at = 0; i < count; i++) {
            start[i] = at;
            at += Character.charCount(text.codePointAt(at));
            end[i] = at;
            previous[i] = i - 1;
            next[i] = i + 1 < count ? i + 1 : -1;
        }
        PriorityQueue<Pair> pairs = new PriorityQueue<>();
        for (int i = 1; i < count; i++) {
            offer(pairs, text, start, end, i - 1, i);
        }
        for (Pair pair = pairs.poll(); pair != null; pair = pairs.poll()) {
            int left = pair.left;
            int right = pair.right;
            if (end[left] == start[left] || end[right] == start[right] || end[right] - start[left] != pair.length) {
                continue;
            }
            end[left] = end[right];
            start[right] = end[right];
            next[left] = next[right];
            if (next[right] >= 0) {
                previous[next[right]] = left;
            }
            offer(pairs, text, start, end, previous[left], left);
            offer(pairs, text, start, end, left, next[left]);
        }
        for (int i = count == 0 ? -1 : 0; i >= 0; i = next[i]) {
            String piece = text.substring(start[i], end[i]);
            Integer id = vocabulary.id(piece);
            if (id != null) {
                ids.add(id);
            } else {
                for (byte value : piece.getBytes(StandardCharsets.UTF_8)) {
                    ids.add(byteTokens[value & 0xff]);
                }
            }
        }
    }

    private void offer(PriorityQueue<Pair> pairs, String text, int[] start, int[] end, int left, int right) {
        if (left < 0 || right < 0) {
            return;
        }
        Integer id = vocabulary.id(text.substring(start[left], end[right]));
        if (id != null) {
            pairs.add(new Pair(left, right, vocabulary.score(id), end[right] - start[left]));
        }
    }

    @Override
    public byte[] bytes(int token, boolean special) {
        String text = vocabulary.checkedText(token);
        return switch (vocabulary.kind(token)) {
            case CONTROL, UNKNOWN -> special ? text.getBytes(StandardCharsets.UTF_8) : new byte[0];
            case BYTE -> byteOf(text);
            case NORMAL, UNUSED -> text.replace(SPACE, ' ').getBytes(StandardCharsets.UTF_8);
            case USER_DEFINED -> text.getBytes(StandardCharsets.UTF_8);
        };
    }

    private static byte[] byteOf(String text) {
        if (text.length() == 6 && text.startsWith("<0x") && text.endsWith(">")) {
            try {
                return new byte[] {(byte) Integer.parseInt(text, 3, 5, 16)};
            } catch (NumberFormatException notAByte) {
                return text.getBytes(StandardCharsets.UTF_8);
            }
        }
        return text.getBytes(StandardCharsets.UTF_8);
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
