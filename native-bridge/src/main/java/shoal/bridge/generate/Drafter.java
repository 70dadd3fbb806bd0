package shoal.bridge.generate;

import shoal.bridge.model.sampling.TokenHistory;

/** Guesses how a sequence goes on, more cheaply than the model would say. One generation at a time. */
public interface Drafter extends AutoCloseable {
    /**
     * At most so many tokens that may follow; none if there is no good guess.
     *
     * @param history left as it was
     */
    int[] draft(TokenHistory history, int most);

    @Override
    default void close() {}
}
