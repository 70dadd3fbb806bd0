package shoal.bridge.kernel.device;

import shoal.codec.gguf.GgmlType;

/**
 * Which kernels of a {@link KernelUnit.Products} multiply, and in what groups. Dense ones take the parameters of {@code multiply_one},
 * those of experts the parameters of {@code multiply_experts_one}, in {@code products.cl}. The order of sums depends on type and
 * columns alone.
 */
public interface ProductKernels {
    /** Tokens of one expert that are multiplied together at most, where a batch has more than one token; portable.h has it too. */
    int TILE = 8;

    /** A kernel's name, groups, and items of a group. */
    record Launch(String kernel, int groups0, int groups1, int items0, int items1) {}

    /** One word for messages. */
    String name();

    /** Of so many tokens with all rows. */
    Launch dense(GgmlType type, int rows, int columns, int tokens);

    /** Of one token with up to three matrices at once, by the parameters of {@code multiply_three}; a row count may be 0. */
    Launch three(GgmlType type, int columns, int rows0, int rows1, int rows2);

    /** Which kernel of two values a work-item rounds activations to the weights' type for {@link #dense}; empty if none has to. */
    default String rounding(GgmlType type, int columns, int tokens) {
        return "";
    }

    /**
     * Of tiles, as {@code group_by_expert} makes them, with the rows of one expert each.
     *
     * @param one whether tiles have one token each, else up to {@link #TILE}
     */
    Launch experts(GgmlType type, int rows, int columns, boolean one, int tiles);

    /** Those that every device has, in the language that all share. */
    ProductKernels COMMON = new ProductKernels() {
        private static final int LANES = 16;
        private static final int ROWS = 8;

        @Override
        public String name() {
            return "common";
        }

        @Override
        public Launch dense(GgmlType type, int rows, int columns, int tokens) {
            return tokens == 1
                    ? new Launch("multiply_one", Math.ceilDiv(rows, ROWS), 1, LANES, ROWS)
                    : new Launch("multiply_many", Math.ceilDiv(rows, ROWS), Math.ceilDiv(tokens, TILE), LANES, ROWS);
        }

        @Override
        public Launch three(GgmlType type, int columns, int rows0, int rows1, int rows2) {
            int groups = Math.ceilDiv(rows0, ROWS) + Math.ceilDiv(rows1, ROWS) + Math.ceilDiv(rows2, ROWS);
            return new Launch("multiply_three", groups, 1, LANES, ROWS);
        }

        @Override
        public Launch experts(GgmlType type, int rows, int columns, boolean one, int tiles) {
            return new Launch(
                    one ? "multiply_experts_one" : "multiply_experts_many",
                    Math.ceilDiv(rows, ROWS),
                    tiles,
                    LANES,
                    ROWS);
        }
    };
}
