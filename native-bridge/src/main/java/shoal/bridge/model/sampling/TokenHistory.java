package shoal.bridge.model.sampling;

import java.util.Arrays;

/** The tokens of a sequence so far: a prompt, and what was generated behind it. One thread at a time. */
public final class TokenHistory {
    private int[] tokens;
    private int size;
    private final int promptSize;

    /** Of a prompt that is known whole. */
    public TokenHistory(int[] prompt) {
        this(prompt.length);
        for (int token : prompt) {
            add(token);
        }
    }

    /** Empty yet; so many of its tokens will be the prompt's. */
    public TokenHistory(int promptSize) {
        this.tokens = new int[256]; // not promptSize: it may come from a peer
        this.promptSize = promptSize;
    }

    public void add(int token) {
        if (size == tokens.length) {
            tokens = Arrays.copyOf(tokens, 2 * size);
        }
        tokens[size++] = token;
    }

    /** Forgets what came after the first tokens. */
    public void truncate(int newSize) {
        size = Math.min(size, newSize);
    }

    public int size() {
        return size;
    }

    public int promptSize() {
        return promptSize;
    }

    public int get(int index) {
        return tokens[java.util.Objects.checkIndex(index, size)];
    }

    /** How many tokens were generated. */
    public int generated() {
        return Math.max(0, size - promptSize);
    }

    public int[] toArray() {
        return Arrays.copyOf(tokens, size);
    }
}
