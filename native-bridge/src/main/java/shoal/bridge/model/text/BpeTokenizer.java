package shoal.bridge.model.text;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import shoal.bridge.model.text.Vocabulary.Fragment;
import shoal.codec.base.MalformedException;

/**
 * Byte pairs as GPT-2 has them: a text is cut into words ({@link PreTokenizer}), a word into bytes, each written as one printable
 * character, and neighbours are joined in the order of the merges, leftmost first among equals. Any text comes back from its tokens
 * byte for byte where the vocabulary has all 256 bytes.
 */
final class BpeTokenizer implements Tokenizer {
    /** The character that stands for each byte: itself where it prints, else one from U+0100 on (GPT-2's encoder.py). */
    private static final char[] CHARACTER_OF_BYTE = new char[256];

    private static final Map<Character, Byte> BYTE_OF_CHARACTER = new HashMap<>();

    static {
        char next = 0x100;
        for (int value = 0; value < 256; value++) {
            boolean prints = value >= '!' && value <= '~' || value >= 0xa1 && value <= 0xac || value >= 0xae;
            CHARACTER_OF_BYTE[value] = prints ? (char) value : next++;
            BYTE_OF_CHARACTER.put(CHARACTER_OF_BYTE[value], (byte) value);
        }
    }

    private final Vocabulary vocabulary;
    private final PreTokenizer words;
    /** Pieces by number: below the vocabulary's size its tokens, above it what only merges speak of. */
    private final Map<String, Integer> extraPieces = new HashMap<>();

    private final int[] pieceOfByte = new int[256];
    private final MergeTable merges;

    BpeTokenizer(Vocabulary vocabulary, PreTokenizer words, String[] mergeLines) {
        this.vocabulary = vocabulary;
        this.words = words;
        Arrays.setAll(pieceOfByte, value -> piece(String.valueOf(CHARACTER_OF_BYTE[value])));
        merges = new MergeTable(mergeLines.length);
        for (int rank = 0; rank < mergeLines.length; rank++) {
            String line = mergeLines[rank];
            int space = line.indexOf(' ', 1);
            if (space < 0) {
                throw new MalformedException("tokenizer.ggml.merges has no space between two pieces in line " + rank
                        + ", which is '" + line + "'");
            }
            String left = line.substring(0, space);
            String right = line.substring(space + 1);
            merges.add(piece(left), piece(right), rank, piece(left + right));
        }
    }

    private int piece(String text) {
        Integer id = vocabulary.id(text);
        return id != null ? id : extraPieces.computeIfAbsent(text, _ -> vocabulary.size() + extraPieces.size());
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
                    for (String word : words.split(stretch)) {
                        encodeWord(word.getBytes(StandardCharsets.UTF_8), ids);
                    }
                }
            }
        }
        if (addSpecial && vocabulary.addsEnd()) {
            ids.add(vocabulary.endOfText());
        }
        return ids.toArray();
    }

    private void encodeWord(byte[] bytes, Ids ids) {
        if (words.wholeWords()) {
            Integer whole = vocabulary.id(characters(bytes));
            if (whole != null) {
                ids.add(whole);
                return;
            }
        }
        int count = bytes.length;
        int[] pieces = new int[count];
        int[] previous = new int[count];
        int[] next = new int[count];
        for (int i = 0; i < count; i++) {
            pieces[i] = pieceOfByte[bytes[i] & 0xff];
            previous[i] = i - 1;
            next[i] = i + 1 < count ? i + 1 : -1;
        }
        // rank above, place of the left piece below: the least is the next to join; stale if the rank has changed
        // meanwhile
        PriorityQueue<Long> pairs = new PriorityQueue<>();
        for (int i = 0; i + 1 < count; i++) {
            offer(pairs, pieces, i, i + 1);
        }
        for (Long pair = pairs.poll(); pair != null; pair = pairs.poll()) {
            int left = (int) (long) pair;
            int right = next[left];
            if (pieces[left] < 0 || right < 0) {
                continue;
            }
            int slot = merges.find(pieces[left], pieces[right]);
            if (slot < 0 || merges.rank(slot) != (int) (pair >>> 32)) {
                continue;
            }
            pieces[left] = merges.joined(slot);
            pieces[right] = -1;
            next[left] = next[right];
            if (next[left] >= 0) {
                previous[next[left]] = left;
            }
            offer(pairs, pieces, previous[left], left);
            offer(pairs, pieces, left, next[left]);
        }
        for (int i = count == 0 ? -1 : 0; i >= 0; i = next[i]) {
            if (pieces[i] < vocabulary.size()) {
                ids.add(pieces[i]);
            } else { // a piece of merges alone: its bytes; one that is no token is lost (as in llama.cpp)
                int end = next[i] < 0 ? count : next[i];
                for (int j = i; j < end; j++) {
                    int one = pieceOfByte[bytes[j] & 0xff];
                    ids.add(one < vocabulary.size() ? one : -1);
                }
            }
        }
    }

    private void offer(PriorityQueue<Long> pairs, int[] pieces, int left, int right) {
        if (left >= 0 && right >= 0) {
            int slot = merges.find(pieces[left], pieces[right]);
            if (slot >= 0) {
                pairs.add((long) merges.rank(slot) << 32 | left);
            }
        }
    }

    private static String characters(byte[] bytes) {
        char[] characters = new char[bytes.length];
        for (int i = 0; i < bytes.length; i++) {
            characters[i] = CHARACTER_OF_BYTE[bytes[i] & 0xff];
        }
        return new String(characters);
    }

    @Override
    public byte[] bytes(int token, boolean special) {
        String text = vocabulary.checkedText(token);
        return switch (vocabulary.kind(token)) {
            case CONTROL, UNKNOWN -> special ? text.getBytes(StandardCharsets.UTF_8) : new byte[0];
            case USER_DEFINED -> text.getBytes(StandardCharsets.UTF_8);
            case NORMAL, UNUSED, BYTE -> decoded(text);
        };
    }

    private static byte[] decoded(String text) {
        byte[] bytes = new byte[text.length()];
        for (int i = 0; i < bytes.length; i++) {
            @Nullable Byte value = BYTE_OF_CHARACTER.get(text.charAt(i));
            if (value == null) {
                return text.getBytes(StandardCharsets.UTF_8); // not written in bytes
            }
            bytes[i] = value;
        }
        return bytes;
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

    /** Rank and result of each pair of pieces; open addressing over at most half of the slots. The first of equal pairs counts. */
    private static final class MergeTable {
        private final long[] keys; // left above, right below; -1 is free
        private final int[] ranks;
        private final int[] results;
        private final int mask;

        MergeTable(int pairs) {
            int slots = Integer.highestOneBit(Math.max(8, pairs)) * 4;
            keys = new long[slots];
            Arrays.fill(keys, -1);
            ranks = new int[slots];
            results = new int[slots];
            mask = slots - 1;
        }

        void add(int left, int right, int rank, int joined) {
            long key = (long) left << 32 | right;
            int slot = slot(key);
            if (keys[slot] != key) {
                keys[slot] = key;
                ranks[slot] = rank;
                results[slot] = joined;
            }
        }

        /** The slot of that pair, or -1. */
        int find(int left, int right) {
            long key = (long) left << 32 | right;
            int slot = slot(key);
            return keys[slot] == key ? slot : -1;
        }

        int rank(int slot) {
            return ranks[slot];
        }

        int joined(int slot) {
            return results[slot];
        }

        private int slot(long key) {
            long mixed = key * 0x9e3779b97f4a7c15L;
            int slot = (int) (mixed >>> 32) & mask;
            while (keys[slot] != -1 && keys[slot] != key) {
                slot = slot + 1 & mask;
            }
            return slot;
        }
    }
}
