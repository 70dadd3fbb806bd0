package shoal.bridge.generate;

import java.util.List;

/**
 * What came out.
 *
 * @param tokens without the token that ended it
 * @param text of these tokens, its own leading space included
 */
public record Generation(List<Integer> promptTokens, List<Integer> tokens, String text, Stop stop) {
    public Generation {
        promptTokens = List.copyOf(promptTokens);
        tokens = List.copyOf(tokens);
    }

    /** Why it ended. */
    public enum Stop {
        /** As many tokens as were asked for. */
        LENGTH,
        /** The model's own end-of-generation token. */
        EOS
    }
}
