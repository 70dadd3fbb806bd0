package shoal.bench.gpu;

import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;
import shoal.bridge.make.FileType;

/**
 * What is measured on a device.
 *
 * @param device as doctor names it
 * @param large recipe of the model that weights' bandwidth is measured with
 * @param small recipe of the model whose steps are bound by launches
 * @param types that the large one is measured in
 * @param prompt tokens of a prompt
 * @param steps tokens that are decoded in each round
 * @param rounds the best counts
 * @param matrix rows of the matrices that the maker's library multiplies
 * @param peer llama.cpp's llama-bench, or null
 */
record GpuPlan(
        String device,
        String large,
        String small,
        List<FileType> types,
        int prompt,
        int steps,
        int rounds,
        int matrix,
        @Nullable Path peer) {
    private static final List<FileType> TYPES = List.of(FileType.Q8_0, FileType.Q4_K_S, FileType.F16);
    private static final int MOST_STEPS = 1_024;

    GpuPlan {
        if (types.isEmpty() || prompt < 2 || prompt > MOST_STEPS || steps < 1 || steps > MOST_STEPS || rounds < 1) {
            throw new IllegalArgumentException("there are " + types.size() + " types, a prompt of " + prompt
                    + " tokens, "
                    + steps + " steps and " + rounds + " rounds; allowed are 1 and more, 2 to " + MOST_STEPS + ", 1 to "
                    + MOST_STEPS + ", and 1 and more");
        }
    }

    /** Of a GPU: models of 7 and 1 billion weights. */
    static GpuPlan usual(String device) {
        return new GpuPlan(device, "llama-7b", "llama-1b", TYPES, 512, 64, 3, 8_192, null);
    }

    /** Of a CPU that plays a device: that everything runs. */
    static GpuPlan tiny(String device) {
        return new GpuPlan(device, "llama-tiny", "llama-tiny", TYPES, 16, 4, 1, 64, null);
    }

    GpuPlan withPeer(@Nullable Path other) {
        return new GpuPlan(device, large, small, types, prompt, steps, rounds, matrix, other);
    }
}
