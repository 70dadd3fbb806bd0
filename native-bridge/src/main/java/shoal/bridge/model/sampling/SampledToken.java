package shoal.bridge.model.sampling;

import java.util.List;
import shoal.codec.wire.SamplingState;
import shoal.codec.wire.TokenLogprob;

/**
 * @param logprob natural logarithm of the token's probability by the model, before any sampling parameter
 * @param top the likeliest tokens by the model, as many as the parameters ask for, likeliest first
 * @param next with which the token behind this one is chosen
 */
public record SampledToken(int id, float logprob, List<TokenLogprob> top, SamplingState next) {
    public SampledToken {
        top = List.copyOf(top);
    }
}
