package shoal.verticles.cli;

import java.util.Locale;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.model.StageMemory;
import shoal.bridge.model.arch.Architectures;
import shoal.codec.gguf.Gguf;
import shoal.verticles.config.ProfileException;
import shoal.verticles.inferencestage.StageHost;

/** How much memory a model may take, looked at before it is loaded. */
final class MemoryOptions {
    private static final Pattern SIZE = Pattern.compile("([0-9]{1,15})([kKmMgGtT]?)");

    /** What the program takes itself, classes and heap. */
    private static final long PROGRAM_BYTES = 150_000_000;

    /** Tokens of a prompt that run together, of which each holds some rows of activations. */
    private static final int BATCH = 512;

    @Option(
            names = "--max-memory",
            paramLabel = "BYTES",
            description = "Most that weights, KV cache and buffers may take, such as 6G; else what the machine has.")
    private @Nullable String maxMemory;

    /** In bytes. @throws ProfileException if it is no size */
    long limitBytes() {
        return maxMemory == null ? StageHost.machineMemoryBytes() : bytes("--max-memory", maxMemory);
    }

    /** A number, with K, M, G or T for powers of 1024. */
    static long bytes(String option, String text) {
        Matcher matcher = SIZE.matcher(text);
        if (matcher.matches()) {
            int power = "kmgt".indexOf(matcher.group(2).toLowerCase(Locale.ROOT))
                    + (matcher.group(2).isEmpty() ? 0 : 1);
            long unit = 1L << 10 * power;
            long number = Long.parseLong(matcher.group(1));
            if (number > 0 && number <= Long.MAX_VALUE / unit) {
                return number * unit;
            }
        }
        throw new ProfileException(
                option + " is '" + text + "', allowed is a number of bytes such as 6000000000 or 6G.");
    }

    /** The check of a whole model that is to hold so many positions, or as many as it can, in a cache of that type. */
    Consumer<Gguf> wholeModel(long positions, String cacheType) {
        return header -> {
            var config = Architectures.config(header);
            long rows = 6L * config.hidden() + 3L * config.heads() * config.headSize() + 3L * config.feedForward();
            long buffers = PROGRAM_BYTES + Float.BYTES * (BATCH * rows + config.vocabulary());
            require(
                    Architectures.memory(header, config.allLayers(), CacheType.of(cacheType)),
                    (int) Math.min(positions, config.contextLength()),
                    buffers);
        };
    }

    /** @throws ProfileException with all numbers if a model does not fit */
    private void require(StageMemory memory, int positions, long buffers) {
        long cache = memory.cacheBytesPerToken() * positions;
        long needed = memory.weightsBytes() + cache + buffers;
        long limit = limitBytes();
        if (needed > limit) {
            throw new ProfileException(String.format(
                    Locale.ROOT,
                    "the model needs %,d bytes: %,d of weights, %,d of KV cache for %,d positions, and about %,d of buffers;"
                            + " %s %,d. Ask for fewer tokens, take a smaller model or type, or %s.",
                    needed,
                    memory.weightsBytes(),
                    cache,
                    positions,
                    buffers,
                    maxMemory == null ? "the machine has" : "--max-memory allows",
                    limit,
                    maxMemory == null ? "share it with other machines" : "allow more"));
        }
    }
}
