package shoal.bridge.kernel.cuda;

import shoal.bridge.kernel.device.ProductKernels;
import shoal.codec.gguf.GgmlType;

/**
 * Those of {@code nvidia.cu}, on GPUs of compute capability 8.0 and more. Several tokens with F32, F16 or BF16 have the common
 * kernels, which add in the same order.
 */
final class NvidiaProducts implements ProductKernels {
    static final int LEAST_CAPABILITY = 80;

    static final String OWN = "NVIDIA's own";

    /** As nvidia.cu has them: outputs that a group makes of one token, of several; work-items of either. */
    private static final int ONE_OUTPUTS = 8;

    private static final int ONE_ITEMS = 128;
    private static final int MANY_ROWS = 32;
    private static final int MANY_ITEMS = 64;
    private static final int FEW_TOKENS = 8;
    private static final int MANY_TOKENS = 32;

    @Override
    public String name() {
        return OWN;
    }

    @Override
    public Launch dense(GgmlType type, int rows, int tokens) {
        if (tokens == 1) {
            return new Launch("nvidia_one", Math.ceilDiv(rows, ONE_OUTPUTS), 1, ONE_ITEMS, 1);
        }
        if (type.blockValues() == 1) {
            return COMMON.dense(type, rows, tokens);
        }
        return tokens <= FEW_TOKENS
                ? new Launch("nvidia_few", Math.ceilDiv(rows, MANY_ROWS), 1, MANY_ITEMS, 1)
                : new Launch(
                        "nvidia_many", Math.ceilDiv(rows, MANY_ROWS), Math.ceilDiv(tokens, MANY_TOKENS), MANY_ITEMS, 1);
    }

    @Override
    public Launch three(GgmlType type, int rows0, int rows1, int rows2) {
        int groups =
                Math.ceilDiv(rows0, ONE_OUTPUTS) + Math.ceilDiv(rows1, ONE_OUTPUTS) + Math.ceilDiv(rows2, ONE_OUTPUTS);
        return new Launch("nvidia_three", groups, 1, ONE_ITEMS, 1);
    }

    @Override
    public Launch experts(GgmlType type, int rows, boolean one, int tiles) {
        if (type.blockValues() == 1) {
            return COMMON.experts(type, rows, one, tiles);
        }
        return one
                ? new Launch("nvidia_experts_one", Math.ceilDiv(rows, ONE_OUTPUTS), tiles, ONE_ITEMS, 1)
                : new Launch("nvidia_experts_many", Math.ceilDiv(rows, MANY_ROWS), tiles, MANY_ITEMS, 1);
    }
}
