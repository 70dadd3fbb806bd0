/*
 * Rows to panels: 16 rows' levels as bytes, [block][8][16 rows][4 columns], then their scales as floats. Bytes of 16 rows are turned
 * over as the file has them, and taken apart afterwards, when a register has the same columns of all rows.
 */
#include "activations.h"
#include "blocks.h"

#define PANEL_ROWS 16

/* 16 rows of one block of 32. */
INLINE int panel_block_bytes(int type) {
    return 512 + 64 * (1 + has_constant(type) + 2 * has_halves(type) + 2 * (type == Q2_K));
}

/* Where in a panel's block the numbers lie that follow the levels and the scales. */
enum { SCALES_AT = 512, CONSTANTS_AT = 576 };
INLINE int halves_at(int type) { return SCALES_AT + 64 * (1 + has_constant(type)); }
INLINE int factors_at(int type) { return halves_at(type) + 128; }

/* 32 bytes of each row, 4 columns of all rows in a register. */
INLINE void columns_32(const uint8_t *const rows[], size_t at, i16s out[8]) {
    columns_of_rows(rows, at, out);
    columns_of_rows(rows, at + 16, out + 4);
}

/* Four bytes of each row, as a number. */
INLINE i16s words_of_rows(const uint8_t *const rows[], size_t at) {
    int words[PANEL_ROWS];
#pragma GCC unroll 16
    for (int r = 0; r < PANEL_ROWS; r++) {
        words[r] = (int)word_at(rows[r] + at);
    }
    return i_of_array(words);
}

/* Some bits of each byte, or of each number; mask says of how many. */
INLINE i16s bits_at(i16s a, int by, i16s mask) { return i_and(by ? i_shift_right(a, by) : a, mask); }

/* What the panel has: level + 128, or the level itself where weights are signed. */
INLINE i16s panel_levels(int type, i16s levels) {
    int add = (UNSIGNED_WEIGHTS ? 128 : 0) - (is_signed(type) ? 0 : zero_level(type));
    return add ? i_add_bytes(levels, i_all_bytes(add)) : levels;
}

/* 16 bytes with two levels each, the first half of a block's below. */
INLINE void pack_nibbles(int type, const uint8_t *const rows[], size_t at, i16s tops, uint8_t *out) {
    i16s pairs[4], fifteen = i_all_bytes(15);
    columns_of_rows(rows, at, pairs);
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        i16s levels = bits_at(pairs[j % 4], j < 4 ? 0 : 4, fifteen);
        if (type == IQ4_NL || type == IQ4_XS || type == MXFP4) {
            levels = i_look_up(table_of(type), levels);
        }
        if (type == Q5_0 || type == Q5_1) { /* four bits, one to each byte */
            i16s four = i_mul(bits_at(tops, 4 * j, i_all(15)), i_all(1 | 1 << 7 | 1 << 14 | 1 << 21));
            levels = i_or(levels, i_shift_left(i_and(four, i_all_bytes(1)), 4));
        }
        i_store(out + 64 * j, panel_levels(type, levels));
    }
}

/* The levels of a block of the type, at each row's byte at; out: where its parts' blocks begin. */
INLINE void pack_levels(int type, const uint8_t *const rows[], size_t at, uint8_t *const out[]) {
    i16s low[8], high[8], three = i_all_bytes(3), fifteen = i_all_bytes(15);
    switch (type) {
        case Q8_0:
            columns_32(rows, at + 2, low);
#pragma GCC unroll 8
            for (int j = 0; j < 8; j++) {
                i_store(out[0] + 64 * j, panel_levels(type, low[j]));
            }
            return;
        case Q4_K: case Q5_K:
            if (type == Q5_K) {
                columns_32(rows, at + 16, high);
            }
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) {
                if (i % 2 == 0) {
                    columns_32(rows, at + (type == Q4_K ? 16 : 48) + 16 * i, low);
                }
#pragma GCC unroll 8
                for (int j = 0; j < 8; j++) {
                    i16s levels = bits_at(low[j], 4 * (i % 2), fifteen);
                    if (type == Q5_K) {
                        levels = i_or(levels, i_shift_left(bits_at(high[j], i, i_all_bytes(1)), 4));
                    }
                    i_store(out[i] + 64 * j, panel_levels(type, levels));
                }
            }
            return;
        case Q6_K:
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                if (i % 2 == 0) {
                    columns_32(rows, at + 128 + 16 * i, high);
                }
                columns_32(rows, at + 32 * i, low);
#pragma GCC unroll 2
                for (int k = 0; k < 2; k++) {
#pragma GCC unroll 8
                    for (int j = 0; j < 8; j++) {
                        i16s tops = i_shift_left(bits_at(high[j], 4 * k + 2 * (i % 2), three), 4);
                        i_store(out[i / 2 * 4 + i % 2 + 2 * k] + 64 * j, panel_levels(type, i_or(bits_at(low[j], 4 * k, fifteen), tops)));
                    }
                }
            }
            return;
        case Q2_K: case Q3_K:
            if (type == Q3_K) {
                columns_32(rows, at, high);
            }
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) {
                if (i % 4 == 0) {
                    columns_32(rows, at + (type == Q2_K ? 16 : 32) + 8 * i, low);
                }
#pragma GCC unroll 8
                for (int j = 0; j < 8; j++) {
                    i16s levels = bits_at(low[j], 2 * (i % 4), three);
                    if (type == Q3_K) {
                        levels = i_or(levels, i_shift_left(bits_at(high[j], i, i_all_bytes(1)), 2));
                    }
                    i_store(out[i] + 64 * j, panel_levels(type, levels));
                }
            }
            return;
        case IQ4_XS:
            for (int i = 0; i < 8; i++) {
                pack_nibbles(type, rows, at + 8 + 16 * i, i_all(0), out[i]);
            }
            return;
        case Q5_0: case Q5_1:
            pack_nibbles(type, rows, at + (type == Q5_0 ? 6 : 8), words_of_rows(rows, at + (type == Q5_0 ? 2 : 4)), out[0]);
            return;
        default: /* Q4_0, Q4_1, IQ4_NL, MXFP4 */
            pack_nibbles(type, rows, at + (type == MXFP4 ? 1 : type == Q4_1 ? 4 : 2), i_all(0), out[0]);
    }
}

INLINE f16s f_of_upper_half(i16s words) { return f_of_lower16(i_shift_right(words, 16)); }

/* 2^(e - 128) of the lowest byte e; no NaN for 255, as in ggml. */
INLINE f16s power_of(i16s words) {
    i16s less = i_sub(i_and(words, i_all(255)), i_all(1));
    i16s smallest = i_add(i_all(0x00400000), i_shift_left(i_shift_right(less, 31), 21)); /* where e is 0 or 1 */
    return f_of_bits(i_max(i_shift_left(less, 23), smallest));
}

/* The scales of a block of the type, and what else its integers are multiplied by: scale_at of 16 rows at once. */
INLINE void pack_scales(int type, const uint8_t *const rows[], size_t at, uint8_t *const out[]) {
    i16s fifteen = i_all(15), words[4];
    switch (type) {
        case Q4_1: case Q5_1:
            words[0] = words_of_rows(rows, at);
            f_store((float *)(out[0] + SCALES_AT), f_of_lower16(words[0]));
            f_store((float *)(out[0] + CONSTANTS_AT), f_of_upper_half(words[0]));
            return;
        case Q4_K: case Q5_K: {
            columns_of_rows(rows, at, words);
            f16s scale = f_of_lower16(words[0]), constant = f_mul(f_all(-1), f_of_upper_half(words[0]));
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) {
                i16s of_scale, of_constant;
                if (i < 4) {
                    of_scale = bits_at(words[1], 8 * i, i_all(63));
                    of_constant = bits_at(words[2], 8 * i, i_all(63));
                } else { /* four bits of the last bytes, and two of the first */
                    int by = 8 * (i - 4);
                    of_scale = i_or(bits_at(words[3], by, fifteen), i_shift_left(bits_at(words[1], by + 6, i_all(3)), 4));
                    of_constant = i_or(bits_at(words[3], by + 4, fifteen), i_shift_left(bits_at(words[2], by + 6, i_all(3)), 4));
                }
                f_store((float *)(out[i] + SCALES_AT), f_mul(scale, f_of(of_scale)));
                f_store((float *)(out[i] + CONSTANTS_AT), f_mul(constant, f_of(of_constant)));
            }
            return;
        }
        case Q6_K: {
            columns_of_rows(rows, at + 192, words);
            f16s scale = f_of_upper_half(words_of_rows(rows, at + 206));
#pragma GCC unroll 16
            for (int i = 0; i < 16; i++) {
                i16s half = i_shift_right(i_shift_left(words[i / 4], 24 - 8 * (i % 4)), 24);
                f_store((float *)(out[i / 2] + halves_at(type) + 64 * (i % 2)), f_of(half));
                f_store((float *)(out[i / 2] + SCALES_AT), scale);
            }
            return;
        }
        case Q3_K: {
            f16s scale = f_of_upper_half(words_of_rows(rows, at + 106));
            for (int i = 0; i < 3; i++) {
                words[i] = words_of_rows(rows, at + 96 + 4 * i);
            }
#pragma GCC unroll 16
            for (int i = 0; i < 16; i++) { /* four bits of the first eight bytes, two of the last four */
                i16s low = bits_at(words[i / 4 % 2], 8 * (i % 4) + i / 8 * 4, fifteen);
                i16s high = i_shift_left(bits_at(words[2], 8 * (i % 4) + 2 * (i / 4), i_all(3)), 4);
                f_store((float *)(out[i / 2] + halves_at(type) + 64 * (i % 2)), f_of(i_sub(i_or(low, high), i_all(32))));
                f_store((float *)(out[i / 2] + SCALES_AT), scale);
            }
            return;
        }
        case Q2_K: {
            i16s both = words_of_rows(rows, at + 80);
            f16s scale = f_of_lower16(both), constant = f_mul(f_all(-1), f_of_upper_half(both));
            columns_of_rows(rows, at, words);
#pragma GCC unroll 16
            for (int i = 0; i < 16; i++) {
                f_store((float *)(out[i / 2] + halves_at(type) + 64 * (i % 2)), f_of(bits_at(words[i / 4], 8 * (i % 4), fifteen)));
                f_store((float *)(out[i / 2] + factors_at(type) + 64 * (i % 2)), f_of(bits_at(words[i / 4], 8 * (i % 4) + 4, fifteen)));
                f_store((float *)(out[i / 2] + SCALES_AT), scale);
                f_store((float *)(out[i / 2] + CONSTANTS_AT), constant);
            }
            return;
        }
        case IQ4_XS: {
            words[0] = words_of_rows(rows, at);
            words[1] = words_of_rows(rows, at + 4);
            f16s scale = f_of_lower16(words[0]);
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) {
                i16s high = i_shift_left(bits_at(words[0], 16 + 2 * i, i_all(3)), 4);
                i16s whole = i_sub(i_or(bits_at(words[1], 4 * i, fifteen), high), i_all(32));
                f_store((float *)(out[i] + SCALES_AT), f_mul(scale, f_of(whole)));
            }
            return;
        }
        case MXFP4: f_store((float *)(out[0] + SCALES_AT), power_of(words_of_rows(rows, at))); return;
        default: f_store((float *)(out[0] + SCALES_AT), f_of_lower16(words_of_rows(rows, at))); /* Q8_0, Q4_0, Q5_0, IQ4_NL */
    }
}

/* Packs count (up to 16) rows from w on; the rows that are missing repeat the last one. */
INLINE void pack_panel(int type, const uint8_t *w, int count, int blocks, uint8_t *panel) {
    int parts = type_parts(type), starts[LANES];
    size_t row_bytes = (size_t)(blocks / parts) * type_bytes(type), at = 0;
    const uint8_t *rows[PANEL_ROWS];
    for (int r = 0; r < PANEL_ROWS; r++) {
        rows[r] = w + (r < count ? r : count - 1) * row_bytes;
    }
    walk_starts(blocks, starts);
    for (int b = 0; b < blocks; b += parts, at += type_bytes(type)) {
        uint8_t *out[8];
        for (int i = 0; i < parts; i++) {
            out[i] = panel + (size_t)(starts[(b + i) % LANES] + (b + i) / LANES) * panel_block_bytes(type);
        }
        pack_levels(type, rows, at, out);
        pack_scales(type, rows, at, out);
    }
}
