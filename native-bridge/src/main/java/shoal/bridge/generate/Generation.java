package shoal.bridge.generate;

import java.util.List;

/**
 * What came out.
 *
 * @param tokens without the end-of-generation token that ended it; those of a stop text are there
 * @param text of these tokens up to a stop text, its own leading space included
 * @param drafted tokens that a drafter proposed
 * @param accepted of them those that were right
 */
public record Generation(
        List<Integer> promptTokens, List<Integer> tokens, String text, Stop stop, int drafted, int accepted) {
    public Generation {
        promptTokens = List.copyOf(promptTokens);
        tokens = List.copyOf(tokens);
    }

    /** Why it ended. */
    public enum Stop {
        /** As many tokens as were asked for. */
        LENGTH,
        /** The model's own end-of-generation token. */
        EOS,
        /** A stop text. */
        STOP,
        /** Whoever listens wants no more. */
        CANCELLED
    }
}
