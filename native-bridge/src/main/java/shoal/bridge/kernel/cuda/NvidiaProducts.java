package shoal.bridge.kernel.cuda;

import shoal.bridge.kernel.device.ProductKernels;
import shoal.codec.gguf.GgmlType;

/**
 * Those of {@code nvidia.cu} and {@code tensor.cu}, on GPUs of compute capability 8.0 and more. Several tokens with F32, and F16 and
 * BF16 where columns are no multiple of 32, have the common kernels.
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

    /** As tensor.cu has them: rows and tokens of a group for few tokens and for many, and its work-items. */
    private static final int TENSOR_ROWS = 32;

    private static final int TENSOR_TOKENS = 16;
    private static final int TENSOR_SIDE = 128;
    private static final int TENSOR_ITEMS = 128;
    private static final int TENSOR_COLUMNS = 32;

    @Override
    public String name() {
        return OWN;
    }

    /** Whether matrices have no kernel here but the common ones. */
    private static boolean isOdd(GgmlType type, int columns) {
        return isHalf(type) && columns % TENSOR_COLUMNS != 0;
    }

    private static boolean isHalf(GgmlType type) {
        return type == GgmlType.F16 || type == GgmlType.BF16;
    }

    @Override
    public String rounding(GgmlType type, int columns, int tokens) {
        return isHalf(type) && !isOdd(type, columns) && tokens > TENSOR_TOKENS ? "tensor_round" : "";
    }

    @Override
    public Launch dense(GgmlType type, int rows, int columns, int tokens) {
        if (isOdd(type, columns) || tokens > 1 && type == GgmlType.F32) {
            return COMMON.dense(type, rows, columns, tokens);
        }
        if (isHalf(type)) {
            return tokens <= TENSOR_TOKENS
                    ? new Launch("tensor_few", Math.ceilDiv(rows, TENSOR_ROWS), 1, TENSOR_ITEMS, 1)
                    : new Launch(
                            "tensor_many",
                            Math.ceilDiv(rows, TENSOR_SIDE),
                            Math.ceilDiv(tokens, TENSOR_SIDE),
                            TENSOR_ITEMS,
                            1);
        }
        if (tokens == 1) {
            return new Launch("nvidia_one", Math.ceilDiv(rows, ONE_OUTPUTS), 1, ONE_ITEMS, 1);
        }
        return tokens <= FEW_TOKENS
                ? new Launch("nvidia_few", Math.ceilDiv(rows, MANY_ROWS), 1, MANY_ITEMS, 1)
                : new Launch(
                        "nvidia_many", Math.ceilDiv(rows, MANY_ROWS), Math.ceilDiv(tokens, MANY_TOKENS), MANY_ITEMS, 1);
    }

    @Override
    public Launch three(GgmlType type, int columns, int rows0, int rows1, int rows2) {
        if (isOdd(type, columns)) {
            return COMMON.three(type, columns, rows0, rows1, rows2);
        }
        int outputs = isHalf(type) ? TENSOR_ROWS : ONE_OUTPUTS;
        int groups = Math.ceilDiv(rows0, outputs) + Math.ceilDiv(rows1, outputs) + Math.ceilDiv(rows2, outputs);
        return isHalf(type)
                ? new Launch("tensor_three", groups, 1, TENSOR_ITEMS, 1)
                : new Launch("nvidia_three", groups, 1, ONE_ITEMS, 1);
    }

    @Override
    public Launch experts(GgmlType type, int rows, int columns, boolean one, int tiles) {
        if (isOdd(type, columns) || type == GgmlType.F32) {
            return COMMON.experts(type, rows, columns, one, tiles);
        }
        if (isHalf(type)) {
            return new Launch("tensor_experts", Math.ceilDiv(rows, TENSOR_ROWS), tiles, TENSOR_ITEMS, 1);
        }
        return one
                ? new Launch("nvidia_experts_one", Math.ceilDiv(rows, ONE_OUTPUTS), tiles, ONE_ITEMS, 1)
                : new Launch("nvidia_experts_many", Math.ceilDiv(rows, MANY_ROWS), tiles, MANY_ITEMS, 1);
    }
}
