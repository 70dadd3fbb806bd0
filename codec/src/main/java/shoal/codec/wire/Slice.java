package shoal.codec.wire;

import static shoal.codec.base.Bounds.requireRange;

import java.util.List;

/**
 * Consecutive positions of one sequence within a micro-batch. What a stage held of the sequence from the first position on is replaced.
 *
 * @param session the sequence; never 0 but for the token that tries a pipeline
 * @param firstPosition of the first token in its sequence, from 0
 * @param sample whether a token is to be chosen behind the last one
 * @param drafted what the tokens behind the first one are, where they are a guess: a token is chosen behind each, as long as the guess
 *     was right; empty for none
 * @param parent of a sequence that begins here as a copy of another one's first positions, up to firstPosition; 0 for none
 * @param copied whether a stage that lacks the positions before takes them up from {@link Frame.KeyValues} that it was sent
 */
public record Slice(
        long session,
        int firstPosition,
        int tokenCount,
        boolean sample,
        List<Integer> drafted,
        long parent,
        boolean copied) {
    /** In one micro-batch. */
    public static final int MAX_SLICES = 256;

    public static final int MAX_DRAFTED = 16;

    public Slice {
        requireRange("first position", firstPosition, 0, Frame.Activation.MAX_POSITION);
        requireRange("tokens of a slice", tokenCount, 1, BatchHead.MAX_TOKENS);
        requireRange("drafted tokens", drafted.size(), 0, MAX_DRAFTED);
        if (!drafted.isEmpty() && (!sample || tokenCount != drafted.size() + 1)) {
            throw new IllegalArgumentException("a slice of " + tokenCount + " tokens has " + drafted.size()
                    + " drafted ones, allowed is one less, with a token to be chosen");
        }
        if (copied && (parent != 0 || firstPosition == 0)) {
            throw new IllegalArgumentException(
                    "a slice at position " + firstPosition + (parent == 0 ? "" : " with a parent")
                            + " takes up a copy; allowed is that behind position 0 without a parent");
        }
        drafted = List.copyOf(drafted);
    }

    /** Of a sequence whose earlier positions are there, or begin as another one's. */
    public Slice(long session, int firstPosition, int tokenCount, boolean sample, List<Integer> drafted, long parent) {
        this(session, firstPosition, tokenCount, sample, drafted, parent, false);
    }

    /** Of a sequence that stands on its own. */
    public Slice(long session, int firstPosition, int tokenCount, boolean sample) {
        this(session, firstPosition, tokenCount, sample, List.of(), 0);
    }

    /** The position behind the last one. */
    public int end() {
        return firstPosition + tokenCount;
    }
}
