/*
 * Products with matrices of one type, TYPE_ and its name being defined: compiled once per type. Levels of 32 values are unpacked to
 * eight words of four bytes, multiplied with activations rounded to 8 bits, and added as integers; so everything but the sum over
 * parts is exact. What the bytes mean is said at each type's class in shoal.bridge.kernel.scalar.
 */

/*
 * 32 values: value i is d * s * (level i - offset) + m * f, s and f being those of its half of 16; levels are signed bytes, or bytes
 * below 128.
 */
typedef struct {
    float d, m;
    int s0, s1, f0, f1, offset;
} Part;

/* Four bytes, of blocks that begin at multiples of 4 in some types, of 2 in the others. */
FUNCTION uint word2(GLOBAL const uchar *at) {
#if defined(TYPE_Q4_1) || defined(TYPE_Q5_1) || defined(TYPE_Q2_K) || defined(TYPE_Q4_K) || defined(TYPE_Q5_K)
    return *(GLOBAL const uint *)at;
#else
    GLOBAL const ushort *pairs = (GLOBAL const ushort *)at;
    return (uint)pairs[0] | (uint)pairs[1] << 16;
#endif
}

/* Four bits of a mask, from bit first on, to the lowest bits of four bytes. */
FUNCTION uint spread(uint mask, int first) {
    uint four = mask >> first;
    return (four & 1u) | (four & 2u) << 7 | (four & 4u) << 14 | (four & 8u) << 21;
}

#if defined(TYPE_Q8_0)
#define BLOCK_BYTES 34
#define BLOCK_PARTS 1

FUNCTION void unpack(GLOBAL const uchar *block, int index, uint *words, Part *part) {
    part->d = HALF_AT(block);
    for (int k = 0; k < 8; k++) {
        words[k] = word2(block + 2 + 4 * k);
    }
}

#elif defined(TYPE_Q4_0)
#define BLOCK_BYTES 18
#define BLOCK_PARTS 1

FUNCTION void unpack(GLOBAL const uchar *block, int index, uint *words, Part *part) {
    part->d = HALF_AT(block);
    part->offset = 8;
    for (int k = 0; k < 4; k++) {
        uint pairs = word2(block + 2 + 4 * k);
        words[k] = pairs & 0x0f0f0f0fu;
        words[k + 4] = pairs >> 4 & 0x0f0f0f0fu;
    }
}

#elif defined(TYPE_Q4_1)
#define BLOCK_BYTES 20
#define BLOCK_PARTS 1
#define HAS_CONSTANT

FUNCTION void unpack(GLOBAL const uchar *block, int index, uint *words, Part *part) {
    part->d = HALF_AT(block);
    part->m = HALF_AT(block + 2);
    for (int k = 0; k < 4; k++) {
        uint pairs = word2(block + 4 + 4 * k);
        words[k] = pairs & 0x0f0f0f0fu;
        words[k + 4] = pairs >> 4 & 0x0f0f0f0fu;
    }
}

#elif defined(TYPE_Q5_0)
#define BLOCK_BYTES 22
#define BLOCK_PARTS 1

FUNCTION void unpack(GLOBAL const uchar *block, int index, uint *words, Part *part) {
    uint tops = word2(block + 2);
    part->d = HALF_AT(block);
    part->offset = 16;
    for (int k = 0; k < 4; k++) {
        uint pairs = word2(block + 6 + 4 * k);
        words[k] = (pairs & 0x0f0f0f0fu) | spread(tops, 4 * k) << 4;
        words[k + 4] = (pairs >> 4 & 0x0f0f0f0fu) | spread(tops, 4 * k + 16) << 4;
    }
}

#elif defined(TYPE_Q5_1)
#define BLOCK_BYTES 24
#define BLOCK_PARTS 1
#define HAS_CONSTANT

FUNCTION void unpack(GLOBAL const uchar *block, int index, uint *words, Part *part) {
    uint tops = word2(block + 4);
    part->d = HALF_AT(block);
    part->m = HALF_AT(block + 2);
    for (int k = 0; k < 4; k++) {
        uint pairs = word2(block + 8 + 4 * k);
        words[k] = (pairs & 0x0f0f0f0fu) | spread(tops, 4 * k) << 4;
        words[k + 4] = (pairs >> 4 & 0x0f0f0f0fu) | spread(tops, 4 * k + 16) << 4;
    }
}

#elif defined(TYPE_Q2_K)
#define BLOCK_BYTES 84
#define BLOCK_PARTS 8
#define HAS_CONSTANT

FUNCTION void unpack(GLOBAL const uchar *block, int index, uint *words, Part *part) {
    int a = block[2 * index];
    int b = block[2 * index + 1];
    part->d = HALF_AT(block + 80);
    part->m = -HALF_AT(block + 82);
    part->s0 = a & 15;
    part->s1 = b & 15;
    part->f0 = a >> 4;
    part->f1 = b >> 4;
    for (int k = 0; k < 8; k++) {
        words[k] = word2(block + 16 + 32 * (index / 4) + 4 * k) >> 2 * (index % 4) & 0x03030303u;
    }
}

#elif defined(TYPE_Q3_K)
#define BLOCK_BYTES 110
#define BLOCK_PARTS 8

FUNCTION int scale_of(GLOBAL const uchar *scales, int i) {
    int low = scales[i % 8] >> (i < 8 ? 0 : 4) & 15;
    int high = scales[8 + i % 4] >> 2 * (i / 4) & 3;
    return (low | high << 4) - 32;
}

FUNCTION void unpack(GLOBAL const uchar *block, int index, uint *words, Part *part) {
    part->d = HALF_AT(block + 108);
    part->s0 = scale_of(block + 96, 2 * index);
    part->s1 = scale_of(block + 96, 2 * index + 1);
    part->offset = 4;
    for (int k = 0; k < 8; k++) {
        uint pairs = word2(block + 32 + 32 * (index / 4) + 4 * k) >> 2 * (index % 4) & 0x03030303u;
        words[k] = pairs | (word2(block + 4 * k) >> index & 0x01010101u) << 2;
    }
}

#elif defined(TYPE_Q4_K) || defined(TYPE_Q5_K)
#if defined(TYPE_Q4_K)
#define BLOCK_BYTES 144
#else
#define BLOCK_BYTES 176
#endif
#define BLOCK_PARTS 8
#define HAS_CONSTANT

FUNCTION void unpack(GLOBAL const uchar *block, int index, uint *words, Part *part) {
    GLOBAL const uchar *scales = block + 4;
    int scale, factor;
    if (index < 4) {
        scale = scales[index] & 63;
        factor = scales[index + 4] & 63;
    } else {
        scale = (scales[index + 4] & 15) | (scales[index - 4] >> 6) << 4;
        factor = scales[index + 4] >> 4 | (scales[index] >> 6) << 4;
    }
    part->d = HALF_AT(block) * (float)scale;
    part->m = -HALF_AT(block + 2) * (float)factor;
    for (int k = 0; k < 8; k++) {
#if defined(TYPE_Q4_K)
        words[k] = word2(block + 16 + 32 * (index / 2) + 4 * k) >> 4 * (index % 2) & 0x0f0f0f0fu;
#else
        uint low = word2(block + 48 + 32 * (index / 2) + 4 * k) >> 4 * (index % 2) & 0x0f0f0f0fu;
        words[k] = low | (word2(block + 16 + 4 * k) >> index & 0x01010101u) << 4;
#endif
    }
}

#elif defined(TYPE_Q6_K)
#define BLOCK_BYTES 210
#define BLOCK_PARTS 8

FUNCTION void unpack(GLOBAL const uchar *block, int index, uint *words, Part *part) {
    int half_block = index / 4;
    int quarter = index % 4;
    GLOBAL const uchar *low = block + 64 * half_block + 32 * (quarter % 2);
    GLOBAL const uchar *high = block + 128 + 32 * half_block;
    part->d = HALF_AT(block + 208);
    part->s0 = (int)(signed char)block[192 + 8 * half_block + 2 * quarter];
    part->s1 = (int)(signed char)block[192 + 8 * half_block + 2 * quarter + 1];
    part->offset = 32;
    for (int k = 0; k < 8; k++) {
        words[k] = (word2(low + 4 * k) >> (quarter < 2 ? 0 : 4) & 0x0f0f0f0fu)
                | (word2(high + 4 * k) >> 2 * quarter & 0x03030303u) << 4;
    }
}

#elif defined(TYPE_IQ4_NL) || defined(TYPE_IQ4_XS) || defined(TYPE_MXFP4)

#if defined(TYPE_MXFP4)
/* Twice 0, 0.5, 1, 1.5, 2, 3, 4, 6, then the same below 0. */
CONSTANT signed char TABLE[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
#else
CONSTANT signed char TABLE[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
#endif

/* The table's entries at 16 bytes' low halves, then at their high halves. */
FUNCTION void look_up(GLOBAL const uchar *pairs, uint *words) {
    for (int k = 0; k < 4; k++) {
        uint low = 0;
        uint high = 0;
        for (int i = 0; i < 4; i++) {
            int pair = pairs[4 * k + i];
            low |= ((uint)(int)TABLE[pair & 15] & 255u) << 8 * i;
            high |= ((uint)(int)TABLE[pair >> 4] & 255u) << 8 * i;
        }
        words[k] = low;
        words[k + 4] = high;
    }
}

#if defined(TYPE_IQ4_NL)
#define BLOCK_BYTES 18
#define BLOCK_PARTS 1

FUNCTION void unpack(GLOBAL const uchar *block, int index, uint *words, Part *part) {
    part->d = HALF_AT(block);
    look_up(block + 2, words);
}

#elif defined(TYPE_IQ4_XS)
#define BLOCK_BYTES 136
#define BLOCK_PARTS 8

FUNCTION void unpack(GLOBAL const uchar *block, int index, uint *words, Part *part) {
    int low = block[4 + index / 2] >> 4 * (index % 2) & 15;
    int high = (block[2] | block[3] << 8) >> 2 * index & 3;
    part->d = HALF_AT(block) * (float)((low | high << 4) - 32);
    look_up(block + 8 + 16 * index, words);
}

#else
#define BLOCK_BYTES 17
#define BLOCK_PARTS 1

FUNCTION void unpack(GLOBAL const uchar *block, int index, uint *words, Part *part) {
    uint exponent = block[0];
    part->d = BITS_TO_FLOAT(exponent < 2u ? 0x00200000u << exponent : (exponent - 1u) << 23);
    look_up(block + 1, words);
}
#endif

#elif defined(TYPE_F32)
#define VALUE_BYTES 4
#define VALUE_AT(bytes) (*(GLOBAL const float *)(bytes))
#elif defined(TYPE_F16)
#define VALUE_BYTES 2
#define VALUE_AT(bytes) HALF_AT(bytes)
#elif defined(TYPE_BF16)
#define VALUE_BYTES 2
#define VALUE_AT(bytes) BITS_TO_FLOAT((uint)(*(GLOBAL const ushort *)(bytes)) << 16)
#endif

#if defined(BLOCK_BYTES)

FUNCTION Part unpack_part(GLOBAL const uchar *row, int index, uint *words) {
    Part part;
    part.m = 0.0f;
    part.s0 = part.s1 = part.f0 = part.f1 = 1;
    part.offset = 0;
    unpack(row + (wide)(index / BLOCK_PARTS) * BLOCK_BYTES, index % BLOCK_PARTS, words, &part);
    return part;
}

#define ROW_BYTES(columns) ((wide)((columns) / PART / BLOCK_PARTS) * BLOCK_BYTES)

#else

#define ROW_BYTES(columns) ((wide)(columns) * VALUE_BYTES)

#endif

/* out[t] = row batch[ids_at + t] of the table. One group of WIDE_LANES per token. */
KERNEL void embed(GLOBAL const uchar *table, GLOBAL const int *batch, GLOBAL float *out, int ids_at, int columns) {
    GLOBAL const uchar *row = table + (wide)batch[ids_at + GROUP(0)] * ROW_BYTES(columns);
    out += (wide)GROUP(0) * columns;
#if defined(BLOCK_BYTES)
    for (int index = ITEM(0); index < columns / PART; index += WIDE_LANES) {
        uint words[8];
        Part part = unpack_part(row, index, words);
        for (int i = 0; i < PART; i++) {
            int level = (int)(signed char)(words[i / 4] >> 8 * (i % 4) & 255u) - part.offset;
            float value = part.d * (float)((i < 16 ? part.s0 : part.s1) * level);
#if defined(HAS_CONSTANT)
            value += part.m * (float)(i < 16 ? part.f0 : part.f1);
#endif
            out[index * PART + i] = value;
        }
    }
#else
    for (int c = ITEM(0); c < columns; c += WIDE_LANES) {
        out[c] = VALUE_AT(row + (wide)c * VALUE_BYTES);
    }
#endif
}

/*
 * Up to TILE tokens with one row each of ROWS rows. Work-item (lane, r) adds lane's share of row r; the tree over lanes follows.
 * weights: those of row 0. in_rows: which row of the activations each token is. scratch: TILE * ROWS * LANES.
 *
 * Plain types read values (F32), the others levels, scales and sums as quantise makes them.
 */
FUNCTION void multiply_tile(
        GLOBAL const uchar *weights,
        GLOBAL const float *values,
        GLOBAL const int *levels,
        GLOBAL const float *scales,
        GLOBAL const int *level_sums,
        int first_row,
        int rows,
        int columns,
        const int *in_rows,
        int tokens,
        const int room,
        LOCAL float *scratch) {
    int lane = ITEM(0);
    int row = first_row + ITEM(1);
    LOCAL float *mine = scratch + ITEM(1) * LANES + lane;
    float sums[TILE];
    for (int t = 0; t < room; t++) {
        sums[t] = 0.0f;
    }
    if (row < rows) {
        GLOBAL const uchar *bytes = weights + (wide)row * ROW_BYTES(columns);
#if defined(BLOCK_BYTES)
        int parts = columns / PART;
        for (int index = lane; index < parts; index += LANES) {
            uint words[8];
            Part part = unpack_part(bytes, index, words);
            for (int t = 0; t < room; t++) {
                if (t < tokens) {
                    wide at = (wide)in_rows[t] * parts + index;
                    GLOBAL const int *x = levels + at * 8;
                    int low = 0;
                    int high = 0;
                    for (int k = 0; k < 4; k++) {
                        low = dot4((int)words[k], x[k], low);
                        high = dot4((int)words[k + 4], x[k + 4], high);
                    }
                    int low_sum = level_sums[2 * at];
                    int high_sum = level_sums[2 * at + 1];
                    int product = part.s0 * (low - part.offset * low_sum) + part.s1 * (high - part.offset * high_sum);
                    sums[t] = fma((float)product, part.d * scales[at], sums[t]);
#if defined(HAS_CONSTANT)
                    sums[t] = fma((float)(part.f0 * low_sum + part.f1 * high_sum), part.m * scales[at], sums[t]);
#endif
                }
            }
        }
#else
        for (int c = lane; c < columns; c += LANES) {
            float weight = VALUE_AT(bytes + (wide)c * VALUE_BYTES);
            for (int t = 0; t < room; t++) {
                if (t < tokens) {
                    sums[t] = fma(weight, values[(wide)in_rows[t] * columns + c], sums[t]);
                }
            }
        }
#endif
    }
    for (int t = 0; t < room; t++) {
        mine[t * ROWS * LANES] = sums[t];
    }
    BARRIER;
    for (int half_size = LANES / 2; half_size > 0; half_size /= 2) {
        if (lane < half_size) {
            for (int t = 0; t < room; t++) {
                mine[t * ROWS * LANES] += mine[t * ROWS * LANES + half_size];
            }
        }
        BARRIER;
    }
}

#define DENSE_PARAMETERS                                                                                                            \
    GLOBAL const uchar *weights, GLOBAL const float *values, GLOBAL const int *levels, GLOBAL const float *scales,                 \
            GLOBAL const int *level_sums, GLOBAL const float *bias, GLOBAL float *out, int rows, int columns, int tokens,           \
            int flags

#define HAS_BIAS 1
#define ADDS 2

/* What a product becomes: its row's bias comes to it, and it to what was there, if flags say so. */
FUNCTION float result(float product, GLOBAL const float *bias, int row, GLOBAL const float *there, int flags) {
    if ((flags & HAS_BIAS) != 0) {
        product += bias[row];
    }
    return (flags & ADDS) != 0 ? *there + product : product;
}

/* out[t,o] = sum over c of in[t,c] * weights[o,c], plus bias[o]. Groups (LANES, ROWS): dimension 0 over rows, 1 over tokens. */
FUNCTION void multiply_dense(DENSE_PARAMETERS, const int room, LOCAL float *scratch) {
    int first_token = GROUP(1) * room;
    int count = tokens - first_token < room ? tokens - first_token : room;
    int row = GROUP(0) * ROWS + ITEM(1);
    int in_rows[TILE];
    for (int t = 0; t < room; t++) {
        in_rows[t] = first_token + t;
    }
    multiply_tile(
            weights, values, levels, scales, level_sums, GROUP(0) * ROWS, rows, columns, in_rows, count, room, scratch);
    if (row < rows) {
        for (int t = ITEM(0); t < count; t += LANES) {
            GLOBAL float *to = out + (wide)(first_token + t) * rows + row;
            *to = result(scratch[t * ROWS * LANES + ITEM(1) * LANES], bias, row, to, flags);
        }
    }
}

KERNEL void multiply_one(DENSE_PARAMETERS) {
    SHARED float scratch[ROWS * LANES];
    multiply_dense(
            weights, values, levels, scales, level_sums, bias, out, rows, columns, tokens, flags, 1, scratch);
}

KERNEL void multiply_many(DENSE_PARAMETERS) {
    SHARED float scratch[TILE * ROWS * LANES];
    multiply_dense(
            weights, values, levels, scales, level_sums, bias, out, rows, columns, tokens, flags, TILE, scratch);
}

#define THREE_PARAMETERS                                                                                                            \
    GLOBAL const uchar *weights0, GLOBAL const uchar *weights1, GLOBAL const uchar *weights2, GLOBAL const float *values,           \
            GLOBAL const int *levels, GLOBAL const float *scales, GLOBAL const int *level_sums, GLOBAL const float *bias0,          \
            GLOBAL const float *bias1, GLOBAL const float *bias2, GLOBAL float *out0, GLOBAL float *out1, GLOBAL float *out2,       \
            int rows0, int rows1, int rows2, int columns, int flags

/*
 * As multiply_one with up to three matrices and the same token, one group after another; a matrix that is not there has 0 rows. Bit
 * i of flags says whether matrix i has a bias.
 */
KERNEL void multiply_three(THREE_PARAMETERS) {
    SHARED float scratch[ROWS * LANES];
    int before1 = (rows0 + ROWS - 1) / ROWS;
    int before2 = before1 + (rows1 + ROWS - 1) / ROWS;
    int group = GROUP(0);
    int number = group < before1 ? 0 : group < before2 ? 1 : 2;
    GLOBAL const uchar *weights = number == 0 ? weights0 : number == 1 ? weights1 : weights2;
    GLOBAL const float *bias = number == 0 ? bias0 : number == 1 ? bias1 : bias2;
    GLOBAL float *out = number == 0 ? out0 : number == 1 ? out1 : out2;
    int rows = number == 0 ? rows0 : number == 1 ? rows1 : rows2;
    int first_row = (group - (number == 0 ? 0 : number == 1 ? before1 : before2)) * ROWS;
    int row = first_row + ITEM(1);
    int in_rows[1];
    in_rows[0] = 0;
    multiply_tile(weights, values, levels, scales, level_sums, first_row, rows, columns, in_rows, 1, 1, scratch);
    if (row < rows && ITEM(0) == 0) {
        out[row] = result(scratch[ITEM(1) * LANES], bias, row, out, flags >> number & HAS_BIAS);
    }
}

#define GROUPED_PARAMETERS                                                                                                          \
    GLOBAL const uchar *weights, GLOBAL const float *values, GLOBAL const int *levels, GLOBAL const float *scales,                 \
            GLOBAL const int *level_sums, GLOBAL const float *bias, GLOBAL float *out, GLOBAL const int *order,                     \
            GLOBAL const int *tiles, int rows, int columns, int share, int has_bias

/*
 * As multiply_dense, each tile with its own expert's rows (rows of each expert, one after another). Assignment i reads row i / share
 * of the activations and writes row i of out. Groups: dimension 0 over an expert's rows, 1 over tiles.
 */
FUNCTION void multiply_experts(GROUPED_PARAMETERS, const int room, LOCAL float *scratch) {
    int beyond = tiles[3 * GROUP(1)] < 0; /* the group computes nothing, but passes all barriers */
    int expert = beyond ? 0 : tiles[3 * GROUP(1)];
    int first = beyond ? 0 : tiles[3 * GROUP(1) + 1];
    int count = beyond ? 0 : tiles[3 * GROUP(1) + 2];
    int row = GROUP(0) * ROWS + ITEM(1);
    int in_rows[TILE];
    for (int t = 0; t < room; t++) {
        in_rows[t] = t < count ? order[first + t] / share : 0;
    }
    multiply_tile(
            weights + (wide)expert * rows * ROW_BYTES(columns),
            values,
            levels,
            scales,
            level_sums,
            GROUP(0) * ROWS,
            beyond ? 0 : rows,
            columns,
            in_rows,
            count,
            room,
            scratch);
    if (row < rows) {
        for (int t = ITEM(0); t < count; t += LANES) {
            float sum = scratch[t * ROWS * LANES + ITEM(1) * LANES];
            out[(wide)order[first + t] * rows + row] = has_bias ? sum + bias[(wide)expert * rows + row] : sum;
        }
    }
}

KERNEL void multiply_experts_one(GROUPED_PARAMETERS) {
    SHARED float scratch[ROWS * LANES];
    multiply_experts(
            weights,
            values,
            levels,
            scales,
            level_sums,
            bias,
            out,
            order,
            tiles,
            rows,
            columns,
            share,
            has_bias,
            1,
            scratch);
}

KERNEL void multiply_experts_many(GROUPED_PARAMETERS) {
    SHARED float scratch[TILE * ROWS * LANES];
    multiply_experts(
            weights,
            values,
            levels,
            scales,
            level_sums,
            bias,
            out,
            order,
            tiles,
            rows,
            columns,
            share,
            has_bias,
            TILE,
            scratch);
}
