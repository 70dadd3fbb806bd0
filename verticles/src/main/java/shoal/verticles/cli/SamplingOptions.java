package shoal.verticles.cli;

import picocli.CommandLine.Option;
import shoal.codec.wire.Sampling;

/** How tokens are chosen, as options. */
final class SamplingOptions {
    @Option(
            names = "--temperature",
            defaultValue = "0",
            paramLabel = "T",
            description = "0 takes the likeliest token (default: ${DEFAULT-VALUE}).")
    private float temperature;

    @Option(names = "--top-k", defaultValue = "0", paramLabel = "K", description = "Keep the K likeliest, 0 for all.")
    private int topK;

    @Option(
            names = "--top-p",
            defaultValue = "1",
            paramLabel = "P",
            description = "Keep the likeliest whose probabilities reach P, 1 for all.")
    private float topP;

    @Option(
            names = "--min-p",
            defaultValue = "0",
            paramLabel = "P",
            description = "Keep what is at least P times as likely as the likeliest, 0 for all.")
    private float minP;

    @Option(names = "--seed", defaultValue = "0", paramLabel = "N", description = "Seed of the random choice.")
    private long seed;

    /** @throws IllegalArgumentException naming the option's value and what is allowed */
    Sampling sampling() {
        return new Sampling(temperature, topK, topP, minP, seed);
    }
}
