package shoal.bridge.model.sampling;

/** @param logprob natural logarithm of the token's probability by the model, before any sampling parameter */
public record SampledToken(int id, float logprob) {}
