package shoal.bridge.generate;

import shoal.bridge.model.sampling.TokenHistory;

/**
 * Guesses that what followed the last tokens before will follow them again (prompt lookup decoding, Saxena 2023): no second model, and
 * good where a text repeats itself or its prompt.
 */
public final class PromptLookup implements Drafter {
    private static final int LONGEST = 4;
    private static final int SHORTEST = 2;

    @Override
    public int[] draft(TokenHistory history, int most) {
        int size = history.size();
        for (int length = LONGEST; length >= SHORTEST && most > 0; length--) {
            for (int end = size - 1; end >= length; end--) { // behind the occurrence; the latest first
                if (same(history, end, length)) {
                    int[] draft = new int[Math.min(most, size - end)];
                    for (int i = 0; i < draft.length; i++) {
                        draft[i] = history.get(end + i);
                    }
                    return draft;
                }
            }
        }
        return new int[0];
    }

    private static boolean same(TokenHistory history, int end, int length) {
        for (int i = 1; i <= length; i++) {
            if (history.get(end - i) != history.get(history.size() - i)) {
                return false;
            }
        }
        return true;
    }
}
