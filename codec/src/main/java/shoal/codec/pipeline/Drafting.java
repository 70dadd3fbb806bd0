package shoal.codec.pipeline;

/** Guesses how a sequence goes on, more cheaply than the model would say. Without a state of its own. */
public interface Drafting {
    /** At most so many tokens that may follow these; none if there is no good guess. */
    int[] draft(int[] tokens, int most);

    /** Never guesses. */
    Drafting NONE = (_, _) -> new int[0];
}
