package shoal.bridge.generate;

import java.util.List;
import org.jspecify.annotations.Nullable;
import shoal.codec.wire.Sampling;

/**
 * What is to be generated.
 *
 * @param maxTokens at most so many
 * @param stop texts before which the generation ends
 * @param drafter proposes tokens that are checked together; the result is the same without. Null for none
 * @param contextShift whether to go on when the context is full: then the prompt's first token and the later half of the others are
 *     read anew as a shorter context
 */
public record GenerationRequest(
        int[] prompt,
        int maxTokens,
        Sampling sampling,
        List<String> stop,
        @Nullable Drafter drafter,
        boolean contextShift) {
    public GenerationRequest {
        if (maxTokens < 0) {
            throw new IllegalArgumentException(maxTokens + " tokens are asked for, allowed are 0 or more");
        }
        stop = List.copyOf(stop);
    }

    public static GenerationRequest of(int[] prompt, int maxTokens, Sampling sampling) {
        return new GenerationRequest(prompt, maxTokens, sampling, List.of(), null, false);
    }

    public GenerationRequest withStop(List<String> texts) {
        return new GenerationRequest(prompt, maxTokens, sampling, texts, drafter, contextShift);
    }

    public GenerationRequest withDrafter(@Nullable Drafter other) {
        return new GenerationRequest(prompt, maxTokens, sampling, stop, other, contextShift);
    }

    public GenerationRequest withContextShift(boolean shift) {
        return new GenerationRequest(prompt, maxTokens, sampling, stop, drafter, shift);
    }
}
