/*
 * Products with F16 and BF16 on NVIDIA's tensor cores; compiled behind nvidia.cu, from compute capability 8.0 on. They take and give what
 * the kernels of products.cl do, for columns that are a multiple of 32.
 *
 * Activations are rounded to the weights' type, sums are F32. Each output is one chain of multiply_half over its columns in rising
 * order, 16 at a time, whoever makes it: so one token and many agree to the last bit. Tokens are the rows of the first factor, weights
 * the columns of the second.
 */
#if (defined(TYPE_F16) || defined(TYPE_BF16)) && __CUDA_ARCH__ >= 800

#if defined(TYPE_F16)
#define multiply_half multiply_f16
/* Two values side by side. What F16 has no room for becomes its greatest. */
FUNCTION uint pair_of(float low, float high) {
    low = low > 65504.0f ? 65504.0f : low < -65504.0f ? -65504.0f : low;
    high = high > 65504.0f ? 65504.0f : high < -65504.0f ? -65504.0f : high;
    return pair_f16(low, high);
}
#else
#define multiply_half multiply_bf16
FUNCTION uint pair_of(float low, float high) { return pair_bf16(low, high); }
#endif

/* ------------------------------------------------------------------------------------------------------- up to 16 tokens */

/* Warps of a group, rows of a warp, columns of a step, steps that are copied ahead, and bytes from row to row: no two lanes then meet. */
#define FEW_WARPS 4
#define FEW_ROWS 8
#define FEW_TOKENS 16
#define FEW_COLUMNS 64
#define FEW_STEPS 6
#define FEW_ROOM (FEW_COLUMNS * 2 + 16)

typedef struct {
    uchar bytes[FEW_STEPS][FEW_ROWS][FEW_ROOM];
} FewRoom;

/* sums: as multiply_half has them, FEW_ROWS rows with up to FEW_TOKENS tokens. room: of this warp. */
template <class Rows>
FUNCTION void multiply_few(
        const uchar *weights, const float *values, int first_row, int rows, int columns, Rows in_rows, FewRoom *room, float *sums) {
    int lane = ITEM(0) % WARP;
    int r = lane / 4;
    int steps = (columns + FEW_COLUMNS - 1) / FEW_COLUMNS;
    const float *low = r < in_rows.count ? values + (wide)in_rows(r) * columns : 0;
    const float *high = r + 8 < in_rows.count ? values + (wide)in_rows(r + 8) * columns : 0;
    for (int i = 0; i < 4; i++) {
        sums[i] = 0.0f;
    }
    for (int step = 1 - FEW_STEPS; step < steps; step++) {
        int ahead = step + FEW_STEPS - 1;
        if (ahead < steps) {
            int units = (columns - ahead * FEW_COLUMNS < FEW_COLUMNS ? columns - ahead * FEW_COLUMNS : FEW_COLUMNS) / 8;
#pragma unroll
            for (int i = lane; i < FEW_ROWS * (FEW_COLUMNS / 8); i += WARP) {
                int row = first_row + i / (FEW_COLUMNS / 8);
                int unit = i % (FEW_COLUMNS / 8);
                if (unit < units) {
                    copy_async(
                            room->bytes[ahead % FEW_STEPS][i / (FEW_COLUMNS / 8)] + 16 * unit,
                            weights + (wide)(row < rows ? row : rows - 1) * ROW_BYTES(columns)
                                    + (wide)ahead * FEW_COLUMNS * 2 + 16 * unit);
                }
            }
        }
        copy_batch();
        if (step < 0) {
            continue;
        }
        copy_wait<FEW_STEPS - 1>();
        __syncwarp();
        {
            int count = columns - step * FEW_COLUMNS < FEW_COLUMNS ? columns - step * FEW_COLUMNS : FEW_COLUMNS;
#pragma unroll
            for (int k = 0; k < FEW_COLUMNS; k += 16) {
                if (k < count) {
                    int c = step * FEW_COLUMNS + k + 2 * (lane % 4);
                    const uchar *here = room->bytes[step % FEW_STEPS][r] + 2 * (k + 2 * (lane % 4));
                    uint a[4] = {0, 0, 0, 0};
                    if (low) {
                        a[0] = pair_of(low[c], low[c + 1]);
                        a[2] = pair_of(low[c + 8], low[c + 9]);
                    }
                    if (high) {
                        a[1] = pair_of(high[c], high[c + 1]);
                        a[3] = pair_of(high[c + 8], high[c + 9]);
                    }
                    multiply_half(sums, a, *(const uint *)here, *(const uint *)(here + 16));
                }
            }
        }
        __syncwarp();
    }
}

/* Groups: dimension 0 over FEW_WARPS * FEW_ROWS rows, 1 over FEW_TOKENS tokens. */
KERNEL void tensor_few(DENSE_PARAMETERS) {
    __shared__ __align__(16) FewRoom rooms[FEW_WARPS];
    int lane = ITEM(0) % WARP;
    int first_row = (GROUP(0) * FEW_WARPS + ITEM(0) / WARP) * FEW_ROWS;
    DenseRows in_rows;
    float sums[4];
    in_rows.first = GROUP(1) * FEW_TOKENS;
    in_rows.count = tokens - in_rows.first < FEW_TOKENS ? tokens - in_rows.first : FEW_TOKENS;
    if (first_row >= rows) {
        return;
    }
    multiply_few(weights, values, first_row, rows, columns, in_rows, rooms + ITEM(0) / WARP, sums);
    for (int i = 0; i < 4; i++) {
        int token = lane / 4 + i / 2 * 8;
        int row = first_row + lane % 4 * 2 + i % 2;
        if (token < in_rows.count && row < rows) {
            float *to = out + (wide)in_rows(token) * rows + row;
            *to = result(sums[i], bias, row, to, flags);
        }
    }
}

/* As multiply_three. */
KERNEL void tensor_three(THREE_PARAMETERS) {
    __shared__ __align__(16) FewRoom rooms[FEW_WARPS];
    int lane = ITEM(0) % WARP;
    int group;
    int number = matrix_of(GROUP(0), rows0, rows1, FEW_WARPS * FEW_ROWS, &group);
    const uchar *weights = number == 0 ? weights0 : number == 1 ? weights1 : weights2;
    const float *bias = number == 0 ? bias0 : number == 1 ? bias1 : bias2;
    float *out = number == 0 ? out0 : number == 1 ? out1 : out2;
    int rows = number == 0 ? rows0 : number == 1 ? rows1 : rows2;
    int first_row = (group * FEW_WARPS + ITEM(0) / WARP) * FEW_ROWS;
    DenseRows in_rows;
    float sums[4];
    in_rows.first = 0;
    in_rows.count = 1;
    if (first_row >= rows) {
        return;
    }
    multiply_few(weights, values, first_row, rows, columns, in_rows, rooms + ITEM(0) / WARP, sums);
    for (int i = 0; i < 2; i++) {
        int row = first_row + lane % 4 * 2 + i;
        if (lane < 4 && row < rows) {
            out[row] = result(sums[i], bias, row, out, flags >> number & HAS_BIAS);
        }
    }
}

/* As multiply_experts_many, tiles of any size. */
KERNEL void tensor_experts(GROUPED_PARAMETERS) {
    __shared__ __align__(16) FewRoom rooms[FEW_WARPS];
    int lane = ITEM(0) % WARP;
    int first_row = (GROUP(0) * FEW_WARPS + ITEM(0) / WARP) * FEW_ROWS;
    int expert = tiles[3 * GROUP(1)];
    ExpertRows in_rows;
    float sums[4];
    if (first_row >= rows || expert < 0) {
        return;
    }
    in_rows.order = order + tiles[3 * GROUP(1) + 1];
    in_rows.share = share;
    in_rows.count = tiles[3 * GROUP(1) + 2];
    multiply_few(
            weights + (wide)expert * rows * ROW_BYTES(columns), values, first_row, rows, columns, in_rows,
            rooms + ITEM(0) / WARP, sums);
    for (int i = 0; i < 4; i++) {
        int token = lane / 4 + i / 2 * 8;
        int row = first_row + lane % 4 * 2 + i % 2;
        if (token < in_rows.count && row < rows) {
            float sum = has_bias ? sums[i] + bias[(wide)expert * rows + row] : sums[i];
            out[(wide)in_rows.order[token] * rows + row] = sum;
        }
    }
}

/* ----------------------------------------------------------------------------------------------------------- many tokens */

/* Tokens, and rows, of a group; of a warp; columns of a step, and steps that are in memory: all that a group may have without asking. */
#define SIDE 128
#define WARP_SIDE 64
#define STEP_COLUMNS 32
#define STEPS 3
#define MANY_ITEMS 128

/* Sixteen bytes, 8 columns, of a row lie so that neither copies nor load_matrices meet in a bank. */
FUNCTION int place_of(int row, int unit) {
    return row * (STEP_COLUMNS * 2) + (unit ^ (row >> 1 & 3)) * 16;
}

FUNCTION void copy_step(
        const uchar *rows_of, int first, int count, int columns, int step, uchar *room) {
#pragma unroll
    for (int i = ITEM(0); i < SIDE * (STEP_COLUMNS / 8); i += MANY_ITEMS) {
        int row = i / (STEP_COLUMNS / 8);
        int unit = i % (STEP_COLUMNS / 8);
        int from = first + row < count ? first + row : count - 1; /* what is made of it is not kept */
        copy_async(room + place_of(row, unit), rows_of + ((wide)from * columns + step * STEP_COLUMNS) * 2 + 16 * unit);
    }
}

/* levels: the activations as tensor_round gives them. Groups: dimension 0 over SIDE rows, 1 over SIDE tokens. */
KERNEL void tensor_many(DENSE_PARAMETERS) {
    __shared__ __align__(16) uchar rooms[STEPS][2][SIDE * STEP_COLUMNS * 2];
    int lane = ITEM(0) % WARP;
    int warp = ITEM(0) / WARP;
    int first_row = GROUP(0) * SIDE;
    int first_token = GROUP(1) * SIDE;
    int own_row = warp % 2 * WARP_SIDE;
    int own_token = warp / 2 * WARP_SIDE;
    int steps = columns / STEP_COLUMNS;
    const uchar *halves = (const uchar *)levels;
    float sums[4][8][4];
#pragma unroll
    for (int m = 0; m < 4; m++) {
#pragma unroll
        for (int n = 0; n < 8; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                sums[m][n][i] = 0.0f;
            }
        }
    }
    for (int step = 0; step < STEPS - 1; step++) {
        if (step < steps) {
            copy_step(halves, first_token, tokens, columns, step, rooms[step][0]);
            copy_step(weights, first_row, rows, columns, step, rooms[step][1]);
        }
        copy_batch();
    }
    for (int step = 0; step < steps; step++) {
        int ahead = step + STEPS - 1;
        const uchar *room = rooms[step % STEPS][0];
        copy_wait<STEPS - 2>();
        __syncthreads();
        if (ahead < steps) {
            copy_step(halves, first_token, tokens, columns, ahead, rooms[ahead % STEPS][0]);
            copy_step(weights, first_row, rows, columns, ahead, rooms[ahead % STEPS][1]);
        }
        copy_batch();
#pragma unroll
        for (int k = 0; k < STEP_COLUMNS / 16; k++) {
            uint a[4][4], b[4][4];
#pragma unroll
            for (int m = 0; m < 4; m++) {
                load_matrices(a[m], room + place_of(own_token + 16 * m + lane % 16, 2 * k + lane / 16));
                load_matrices(
                        b[m],
                        room + SIDE * STEP_COLUMNS * 2
                                + place_of(own_row + 16 * m + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2));
            }
#pragma unroll
            for (int m = 0; m < 4; m++) {
#pragma unroll
                for (int n = 0; n < 8; n++) {
                    multiply_half(sums[m][n], a[m], b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
                }
            }
        }
    }
#pragma unroll
    for (int m = 0; m < 4; m++) {
#pragma unroll
        for (int n = 0; n < 8; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int token = first_token + own_token + 16 * m + lane / 4 + i / 2 * 8;
                int row = first_row + own_row + 8 * n + lane % 4 * 2 + i % 2;
                if (token < tokens && row < rows) {
                    float *to = out + (wide)token * rows + row;
                    *to = result(sums[m][n][i], bias, row, to, flags);
                }
            }
        }
    }
}

/* Rounds activations for tensor_many, as tensor_few rounds them. One work-item per pair of values. */
KERNEL void tensor_round(const float *values, uint *pairs, int count) {
    int i = GROUP(0) * ITEMS(0) + ITEM(0);
    if (i < count) {
        pairs[i] = pair_of(values[2 * i], values[2 * i + 1]);
    }
}

#endif
