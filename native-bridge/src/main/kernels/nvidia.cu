/*
 * Products as NVIDIA's GPUs do them best; compiled behind products.cl, from compute capability 8.0 on. They take and give what the
 * kernels there do.
 *
 * Weights pass through shared memory by asynchronous copies, so that global memory is read in whole lines, far ahead of its use. Each
 * warp works for itself. F32 is added as the common kernels do, F16 and BF16 stand in tensor.cu. For weights in blocks sums are of another order, one for all
 * kernels here: the values of SHEAF parts by a tree, ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)), and then sheaf after sheaf.
 */
#if __CUDA_ARCH__ >= 800

#define WARP 32
#define ALL_LANES 0xffffffffu

/* Begins to copy unit number unit of the 16-byte units that bytes touch. */
FUNCTION void copy_unit(uchar *to, const uchar *from, int bytes, int unit) {
    int shift = (int)((wide)from & 15);
    if (16 * unit < shift + bytes) {
        copy_async(to + 16 * unit, from - shift + 16 * unit);
    }
}

/* Where the bytes are that were copied from there. */
FUNCTION const uchar *copied(const uchar *room, const uchar *from) {
    return room + ((wide)from & 15);
}

/* Which of up to three matrices a group works on, and with which of the groups that it has there. */
FUNCTION int matrix_of(int group, int rows0, int rows1, int outputs, int *first) {
    int before1 = (rows0 + outputs - 1) / outputs;
    int before2 = before1 + (rows1 + outputs - 1) / outputs;
    *first = group - (group < before1 ? 0 : group < before2 ? before1 : before2);
    return group < before1 ? 0 : group < before2 ? 1 : 2;
}

/* Tokens one after another. */
struct DenseRows {
    int first;
    int count;
    __device__ __forceinline__ int operator()(int token) const { return first + token; }
};

/* Tokens of assignments that lie in order. */
struct ExpertRows {
    const int *order;
    int share;
    int count;
    __device__ __forceinline__ int operator()(int token) const { return order[token] / share; }
};

#if defined(TYPE_F32)

/* Warps of a group, each with two rows; columns of a step, and steps that are copied ahead. */
#define PLAIN_WARPS 4
#define PLAIN_COLUMNS 256
#define PLAIN_STEPS 4
#define PLAIN_ROOM ((PLAIN_COLUMNS * VALUE_BYTES + 30) / 16 * 16)

/* One row with one token by half a warp, in the order of multiply_tile. room: PLAIN_STEPS * PLAIN_ROOM, of this half. */
FUNCTION float multiply_plain(const uchar *weights, const float *values, int row, int rows, int columns, uchar *room) {
    int lane = ITEM(0) % LANES;
    int steps = (columns + PLAIN_COLUMNS - 1) / PLAIN_COLUMNS;
    const uchar *bytes = weights + (wide)(row < rows ? row : rows - 1) * ROW_BYTES(columns);
    float sum = 0.0f;
    for (int step = 1 - PLAIN_STEPS; step < steps; step++) {
        int ahead = step + PLAIN_STEPS - 1;
        if (ahead < steps) {
            int count = columns - ahead * PLAIN_COLUMNS < PLAIN_COLUMNS ? columns - ahead * PLAIN_COLUMNS : PLAIN_COLUMNS;
            for (int unit = lane; unit < PLAIN_ROOM / 16; unit += LANES) {
                copy_unit(
                        room + ahead % PLAIN_STEPS * PLAIN_ROOM,
                        bytes + (wide)ahead * PLAIN_COLUMNS * VALUE_BYTES,
                        count * VALUE_BYTES,
                        unit);
            }
        }
        copy_batch();
        if (step < 0) {
            continue;
        }
        copy_wait<PLAIN_STEPS - 1>();
        __syncwarp();
        {
            const uchar *here = copied(room + step % PLAIN_STEPS * PLAIN_ROOM, bytes + (wide)step * PLAIN_COLUMNS * VALUE_BYTES);
            const float *x = values + step * PLAIN_COLUMNS;
            int count = columns - step * PLAIN_COLUMNS < PLAIN_COLUMNS ? columns - step * PLAIN_COLUMNS : PLAIN_COLUMNS;
#pragma unroll 8
            for (int c = lane; c < count; c += LANES) {
                sum = fma(VALUE_AT(here + c * VALUE_BYTES), x[c], sum);
            }
        }
        __syncwarp();
    }
#pragma unroll
    for (int distance = LANES / 2; distance > 0; distance /= 2) {
        sum += __shfl_xor_sync(ALL_LANES, sum, distance);
    }
    return sum;
}

/* As multiply_one. A group makes 2 * PLAIN_WARPS outputs. */
KERNEL void nvidia_one(DENSE_PARAMETERS) {
    __shared__ __align__(16) uchar room[2 * PLAIN_WARPS][PLAIN_STEPS * PLAIN_ROOM];
    int half_warp = ITEM(0) / LANES;
    int row = GROUP(0) * 2 * PLAIN_WARPS + half_warp;
    float sum = multiply_plain(weights, values, row, rows, columns, room[half_warp]);
    if (row < rows && ITEM(0) % LANES == 0) {
        out[row] = result(sum, bias, row, out + row, flags);
    }
}

/* As multiply_three. */
KERNEL void nvidia_three(THREE_PARAMETERS) {
    __shared__ __align__(16) uchar room[2 * PLAIN_WARPS][PLAIN_STEPS * PLAIN_ROOM];
    int half_warp = ITEM(0) / LANES;
    int group;
    int number = matrix_of(GROUP(0), rows0, rows1, 2 * PLAIN_WARPS, &group);
    const uchar *weights = number == 0 ? weights0 : number == 1 ? weights1 : weights2;
    const float *bias = number == 0 ? bias0 : number == 1 ? bias1 : bias2;
    float *out = number == 0 ? out0 : number == 1 ? out1 : out2;
    int rows = number == 0 ? rows0 : number == 1 ? rows1 : rows2;
    int row = group * 2 * PLAIN_WARPS + half_warp;
    float sum = multiply_plain(weights, values, row, rows, columns, room[half_warp]);
    if (row < rows && ITEM(0) % LANES == 0) {
        out[row] = result(sum, bias, row, out, flags >> number & HAS_BIAS);
    }
}

#elif defined(BLOCK_BYTES)

/* Parts that are added as a tree: at least a block. */
#define SHEAF 8

/* Bytes of so many parts, whole blocks. */
#define PARTS_BYTES(parts) ((parts) / BLOCK_PARTS * BLOCK_BYTES)

/* Room for so many parts and what lies beside them, up to the next boundaries of 16 bytes. */
#define ROOM(parts) ((PARTS_BYTES(parts) + 30) / 16 * 16)

#if defined(TYPE_Q2_K) || defined(TYPE_Q3_K) || defined(TYPE_Q6_K)
/* Both halves of 16 have a scale of their own. */
#define HAS_HALVES
#endif

/* What a part gives: low and high are the products of its halves' levels, less the offset, with the activation's levels. */
FUNCTION float part_value(float d, float m, int s0, int s1, int f0, int f1, int low, int high, float scale, int low_sum, int high_sum) {
    float value = (float)(s0 * low + s1 * high) * (d * scale);
#if defined(HAS_CONSTANT)
    value = fma((float)(f0 * low_sum + f1 * high_sum), m * scale, value);
#endif
    return value;
}

/* ---------------------------------------------------------------------------------------------------------------- one token */

/* Warps of a group, rows of a warp, parts of a step (one for each lane), and steps that are copied ahead. */
#define ONE_WARPS 4
#define ONE_ROWS 2
#define ONE_STEPS 4
#define ONE_BYTES (ONE_WARPS * ONE_STEPS * ONE_ROWS * ROOM(WARP))

/* sums[r] = rows first_row + r, r below ONE_ROWS, with one row of activations. All lanes get them. room: of this warp. */
FUNCTION void multiply_rows(
        const uchar *weights,
        const int *levels,
        const float *scales,
        const int *level_sums,
        int first_row,
        int rows,
        int columns,
        int in_row,
        uchar *room,
        float *sums) {
    int lane = ITEM(0) % WARP;
    int parts = columns / PART;
    int steps = (parts + WARP - 1) / WARP;
    const uchar *bytes[ONE_ROWS];
#pragma unroll
    for (int r = 0; r < ONE_ROWS; r++) {
        int row = first_row + r < rows ? first_row + r : rows - 1;
        bytes[r] = weights + (wide)row * ROW_BYTES(columns);
        sums[r] = 0.0f;
    }
    for (int step = 1 - ONE_STEPS; step < steps; step++) {
        int ahead = step + ONE_STEPS - 1;
        if (ahead < steps) {
            int count = parts - ahead * WARP < WARP ? parts - ahead * WARP : WARP;
#pragma unroll
            for (int r = 0; r < ONE_ROWS; r++) {
                for (int unit = lane; unit < ROOM(WARP) / 16; unit += WARP) {
                    copy_unit(
                            room + (ahead % ONE_STEPS * ONE_ROWS + r) * ROOM(WARP),
                            bytes[r] + (wide)ahead * PARTS_BYTES(WARP),
                            PARTS_BYTES(count),
                            unit);
                }
            }
        }
        copy_batch();
        if (step < 0) {
            continue;
        }
        copy_wait<ONE_STEPS - 1>();
        __syncwarp();
        {
            int index = step * WARP + lane;
            int x[8];
            float scale = 0.0f;
            int low_sum = 0;
            int high_sum = 0;
            if (index < parts) {
                wide at = (wide)in_row * parts + index;
                int4 low_levels = *(const int4 *)(levels + at * 8);
                int4 high_levels = *(const int4 *)(levels + at * 8 + 4);
                x[0] = low_levels.x;
                x[1] = low_levels.y;
                x[2] = low_levels.z;
                x[3] = low_levels.w;
                x[4] = high_levels.x;
                x[5] = high_levels.y;
                x[6] = high_levels.z;
                x[7] = high_levels.w;
                scale = scales[at];
                low_sum = level_sums[2 * at];
                high_sum = level_sums[2 * at + 1];
            }
#pragma unroll
            for (int r = 0; r < ONE_ROWS; r++) {
                float value = 0.0f;
                if (index < parts) {
                    uint words[8];
                    const uchar *here = copied(
                            room + (step % ONE_STEPS * ONE_ROWS + r) * ROOM(WARP), bytes[r] + (wide)step * PARTS_BYTES(WARP));
                    Part part = unpack_part(here, lane, words);
                    int low = 0;
                    int high = 0;
#pragma unroll
                    for (int k = 0; k < 4; k++) {
                        low = dot4((int)words[k], x[k], low);
                        high = dot4((int)words[k + 4], x[k + 4], high);
                    }
                    value = part_value(
                            part.d,
                            part.m,
                            part.s0,
                            part.s1,
                            part.f0,
                            part.f1,
                            low - part.offset * low_sum,
                            high - part.offset * high_sum,
                            scale,
                            low_sum,
                            high_sum);
                }
#pragma unroll
                for (int distance = 1; distance < SHEAF; distance *= 2) {
                    value += __shfl_xor_sync(ALL_LANES, value, distance);
                }
#pragma unroll
                for (int first = 0; first < WARP; first += SHEAF) {
                    sums[r] += __shfl_sync(ALL_LANES, value, first);
                }
            }
        }
        __syncwarp();
    }
}

/* A group of ONE_WARPS warps makes ONE_WARPS * ONE_ROWS outputs of one token. */
KERNEL void nvidia_one(DENSE_PARAMETERS) {
    __shared__ __align__(16) uchar room[ONE_BYTES];
    int warp = ITEM(0) / WARP;
    int first_row = (GROUP(0) * ONE_WARPS + warp) * ONE_ROWS;
    float sums[ONE_ROWS];
    if (first_row >= rows) {
        return;
    }
    multiply_rows(
            weights, levels, scales, level_sums, first_row, rows, columns, 0, room + warp * (ONE_BYTES / ONE_WARPS), sums);
    if (ITEM(0) % WARP == 0) {
        for (int r = 0; r < ONE_ROWS && first_row + r < rows; r++) {
            out[first_row + r] = result(sums[r], bias, first_row + r, out + first_row + r, flags);
        }
    }
}

/* As multiply_three. */
KERNEL void nvidia_three(THREE_PARAMETERS) {
    __shared__ __align__(16) uchar room[ONE_BYTES];
    int warp = ITEM(0) / WARP;
    int group;
    int number = matrix_of(GROUP(0), rows0, rows1, ONE_WARPS * ONE_ROWS, &group);
    const uchar *weights = number == 0 ? weights0 : number == 1 ? weights1 : weights2;
    const float *bias = number == 0 ? bias0 : number == 1 ? bias1 : bias2;
    float *out = number == 0 ? out0 : number == 1 ? out1 : out2;
    int rows = number == 0 ? rows0 : number == 1 ? rows1 : rows2;
    int first_row = (group * ONE_WARPS + warp) * ONE_ROWS;
    float sums[ONE_ROWS];
    if (first_row >= rows) {
        return;
    }
    multiply_rows(
            weights, levels, scales, level_sums, first_row, rows, columns, 0, room + warp * (ONE_BYTES / ONE_WARPS), sums);
    if (ITEM(0) % WARP == 0) {
        for (int r = 0; r < ONE_ROWS && first_row + r < rows; r++) {
            out[first_row + r] = result(sums[r], bias, first_row + r, out, flags >> number & HAS_BIAS);
        }
    }
}

/* As multiply_experts_one: each tile has one assignment. */
KERNEL void nvidia_experts_one(GROUPED_PARAMETERS) {
    __shared__ __align__(16) uchar room[ONE_BYTES];
    int warp = ITEM(0) / WARP;
    int first_row = (GROUP(0) * ONE_WARPS + warp) * ONE_ROWS;
    int expert = tiles[3 * GROUP(1)];
    int assignment;
    float sums[ONE_ROWS];
    if (first_row >= rows || expert < 0) {
        return;
    }
    assignment = order[tiles[3 * GROUP(1) + 1]];
    multiply_rows(
            weights + (wide)expert * rows * ROW_BYTES(columns),
            levels,
            scales,
            level_sums,
            first_row,
            rows,
            columns,
            assignment / share,
            room + warp * (ONE_BYTES / ONE_WARPS),
            sums);
    if (ITEM(0) % WARP == 0) {
        for (int r = 0; r < ONE_ROWS && first_row + r < rows; r++) {
            int row = first_row + r;
            out[(wide)assignment * rows + row] = has_bias ? sums[r] + bias[(wide)expert * rows + row] : sums[r];
        }
    }
}

/* -------------------------------------------------------------------------------------------------------------- many tokens */

/* Warps of a group, rows of a warp, words from one row's levels to the next's (no two lanes then meet in a bank). */
#define MANY_WARPS 2
#define MANY_ROWS 16
#define MANY_STRIDE 12

/* A warp's memory: two sheaves of bytes, and two parts unpacked. */
typedef struct {
    uchar bytes[2][MANY_ROWS][ROOM(SHEAF)];
    uint words[2][MANY_ROWS][MANY_STRIDE];
    float d[2][MANY_ROWS];
    float m[2][MANY_ROWS];
    int s[2][MANY_ROWS]; /* s0, and s1 in the upper half */
    int f[2][MANY_ROWS];
} ManyRoom;

FUNCTION void copy_sheaf(const uchar *weights, int first_row, int rows, int columns, int sheaf, uchar (*room)[ROOM(SHEAF)]) {
    int parts = columns / PART - sheaf * SHEAF;
    int bytes = PARTS_BYTES(parts < SHEAF ? parts : SHEAF);
    for (int i = ITEM(0) % WARP; i < MANY_ROWS * (ROOM(SHEAF) / 16); i += WARP) {
        int r = i / (ROOM(SHEAF) / 16);
        if (first_row + r < rows) {
            copy_unit(
                    room[r],
                    weights + (wide)(first_row + r) * ROW_BYTES(columns) + (wide)sheaf * PARTS_BYTES(SHEAF),
                    bytes,
                    i % (ROOM(SHEAF) / 16));
        }
    }
}

/* Unpacks parts number 2 * pair and 2 * pair + 1 of a sheaf: each lane one of a row. Levels are less their offset. */
FUNCTION void unpack_pair(const uchar *weights, int first_row, int rows, int columns, int sheaf, int pair, int stage, ManyRoom *room) {
    int lane = ITEM(0) % WARP;
    int r = lane % MANY_ROWS;
    int side = lane / MANY_ROWS;
    int part_number = 2 * pair + side;
    uint words[8];
    Part part;
    part.d = part.m = 0.0f;
    part.s0 = part.s1 = part.f0 = part.f1 = part.offset = 0;
#pragma unroll
    for (int k = 0; k < 8; k++) {
        words[k] = 0;
    }
    if (first_row + r < rows && sheaf * SHEAF + part_number < columns / PART) {
        const uchar *from = weights + (wide)(first_row + r) * ROW_BYTES(columns) + (wide)sheaf * PARTS_BYTES(SHEAF);
        part = unpack_part(copied(room->bytes[stage][r], from), part_number, words);
    }
#pragma unroll
    for (int k = 0; k < 8; k++) {
        /* four bytes below 128, each less an offset of at most 32: no byte borrows from the next */
        room->words[side][r][k] = part.offset == 0
                ? words[k]
                : ((words[k] | 0x80808080u) - (uint)part.offset * 0x01010101u) ^ 0x80808080u;
    }
    room->d[side][r] = part.d;
    room->m[side][r] = part.m;
    room->s[side][r] = (int)((uint)part.s0 & 0xffffu | (uint)part.s1 << 16);
    room->f[side][r] = (int)((uint)part.f0 & 0xffffu | (uint)part.f1 << 16);
}

/* values[4 * n + i]: what one part, unpacked on a side of room, gives to output i of the fragment of 16 rows and 8 tokens number n. */
template <int TILES, class Rows>
FUNCTION void multiply_part(
        const ManyRoom *room,
        int side,
        const int *levels,
        const float *scales,
        const int *level_sums,
        int parts,
        int index,
        Rows in_rows,
        float *values) {
    int lane = ITEM(0) % WARP;
    int r = lane / 4;
    int k = lane % 4;
    uint a0 = room->words[side][r][k];
    uint a1 = room->words[side][r + 8][k];
    uint a2 = room->words[side][r][k + 4];
    uint a3 = room->words[side][r + 8][k + 4];
#pragma unroll
    for (int n = 0; n < TILES; n++) {
        int low[4] = {0, 0, 0, 0};
        int high[4] = {0, 0, 0, 0};
        uint b0 = 0;
        uint b1 = 0;
        if (8 * n + r < in_rows.count && index < parts) {
            const int *x = levels + ((wide)in_rows(8 * n + r) * parts + index) * 8;
            b0 = (uint)x[k];
            b1 = (uint)x[k + 4];
        }
#if defined(HAS_HALVES)
        multiply_16(low, a0, a1, b0);
        multiply_16(high, a2, a3, b1);
#else
        multiply_32(low, a0, a1, a2, a3, b0, b1);
#endif
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int token = 8 * n + 2 * k + i % 2;
            int row = r + i / 2 * 8;
            float scale = 0.0f;
            int low_sum = 0;
            int high_sum = 0;
            if (token < in_rows.count && index < parts) {
                wide at = (wide)in_rows(token) * parts + index;
                scale = scales[at];
#if defined(HAS_CONSTANT)
                low_sum = level_sums[2 * at];
                high_sum = level_sums[2 * at + 1];
#endif
            }
#if defined(HAS_HALVES)
            values[4 * n + i] = part_value(
                    room->d[side][row],
                    room->m[side][row],
                    (int)(short)room->s[side][row],
                    room->s[side][row] >> 16,
                    (int)(short)room->f[side][row],
                    room->f[side][row] >> 16,
                    low[i],
                    high[i],
                    scale,
                    low_sum,
                    high_sum);
#else
            values[4 * n + i] = part_value(
                    room->d[side][row], room->m[side][row], 1, 1, 1, 1, low[i], high[i], scale, low_sum, high_sum);
#endif
        }
    }
}

/* sums[4 * n + i]: MANY_ROWS rows from first_row on with TILES * 8 tokens, as multiply_part has them. */
template <int TILES, class Rows>
FUNCTION void multiply_matrix(
        const uchar *weights,
        const int *levels,
        const float *scales,
        const int *level_sums,
        int first_row,
        int rows,
        int columns,
        Rows in_rows,
        ManyRoom *room,
        float *sums) {
    int parts = columns / PART;
    int sheaves = (parts + SHEAF - 1) / SHEAF;
    float single[4 * TILES], pair[4 * TILES], four[4 * TILES], values[4 * TILES];
#pragma unroll
    for (int i = 0; i < 4 * TILES; i++) {
        sums[i] = 0.0f;
    }
    copy_sheaf(weights, first_row, rows, columns, 0, room->bytes[0]);
    copy_batch();
    for (int sheaf = 0; sheaf < sheaves; sheaf++) {
        if (sheaf + 1 < sheaves) {
            copy_sheaf(weights, first_row, rows, columns, sheaf + 1, room->bytes[(sheaf + 1) % 2]);
        }
        copy_batch();
        copy_wait<1>();
#pragma unroll
        for (int number = 0; number < SHEAF; number++) {
            if (number % 2 == 0) {
                __syncwarp();
                unpack_pair(weights, first_row, rows, columns, sheaf, number / 2, sheaf % 2, room);
                __syncwarp();
            }
            multiply_part<TILES>(
                    room, number % 2, levels, scales, level_sums, parts, sheaf * SHEAF + number, in_rows, values);
#pragma unroll
            for (int i = 0; i < 4 * TILES; i++) {
                if (number % 2 == 0) {
                    single[i] = values[i];
                } else if (number % 4 == 1) {
                    pair[i] = single[i] + values[i];
                } else if (number == 3) {
                    four[i] = pair[i] + (single[i] + values[i]);
                } else {
                    sums[i] += four[i] + (pair[i] + (single[i] + values[i]));
                }
            }
        }
        __syncwarp();
    }
}

template <int TILES>
FUNCTION void multiply_dense_matrix(DENSE_PARAMETERS, ManyRoom *rooms) {
    int warp = ITEM(0) / WARP;
    int lane = ITEM(0) % WARP;
    int first_row = (GROUP(0) * MANY_WARPS + warp) * MANY_ROWS;
    DenseRows in_rows;
    float sums[4 * TILES];
    in_rows.first = GROUP(1) * TILES * 8;
    in_rows.count = tokens - in_rows.first < TILES * 8 ? tokens - in_rows.first : TILES * 8;
    if (first_row >= rows) {
        return;
    }
    multiply_matrix<TILES>(
            weights, levels, scales, level_sums, first_row, rows, columns, in_rows, rooms + warp, sums);
#pragma unroll
    for (int i = 0; i < 4 * TILES; i++) {
        int token = i / 4 * 8 + lane % 4 * 2 + i % 2;
        int row = first_row + lane / 4 + i % 4 / 2 * 8;
        if (token < in_rows.count && row < rows) {
            float *to = out + (wide)in_rows(token) * rows + row;
            *to = result(sums[i], bias, row, to, flags);
        }
    }
}

/* Up to 8 tokens. Groups: dimension 0 over MANY_WARPS * MANY_ROWS rows, 1 over tokens. */
KERNEL void nvidia_few(DENSE_PARAMETERS) {
    __shared__ __align__(16) ManyRoom rooms[MANY_WARPS];
    multiply_dense_matrix<1>(weights, values, levels, scales, level_sums, bias, out, rows, columns, tokens, flags, rooms);
}

/* As nvidia_few, 32 tokens at a time. */
KERNEL void nvidia_many(DENSE_PARAMETERS) {
    __shared__ __align__(16) ManyRoom rooms[MANY_WARPS];
    multiply_dense_matrix<4>(weights, values, levels, scales, level_sums, bias, out, rows, columns, tokens, flags, rooms);
}

/* As multiply_experts_many. */
KERNEL void nvidia_experts_many(GROUPED_PARAMETERS) {
    __shared__ __align__(16) ManyRoom rooms[MANY_WARPS];
    int warp = ITEM(0) / WARP;
    int lane = ITEM(0) % WARP;
    int first_row = (GROUP(0) * MANY_WARPS + warp) * MANY_ROWS;
    int expert = tiles[3 * GROUP(1)];
    ExpertRows in_rows;
    float sums[4];
    if (first_row >= rows || expert < 0) {
        return;
    }
    in_rows.order = order + tiles[3 * GROUP(1) + 1];
    in_rows.share = share;
    in_rows.count = tiles[3 * GROUP(1) + 2];
    multiply_matrix<1>(
            weights + (wide)expert * rows * ROW_BYTES(columns),
            levels,
            scales,
            level_sums,
            first_row,
            rows,
            columns,
            in_rows,
            rooms + warp,
            sums);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int token = lane % 4 * 2 + i % 2;
        int row = first_row + lane / 4 + i / 2 * 8;
        if (token < in_rows.count && row < rows) {
            out[(wide)in_rows.order[token] * rows + row] = has_bias ? sums[i] + bias[(wide)expert * rows + row] : sums[i];
        }
    }
}

#endif
#endif
