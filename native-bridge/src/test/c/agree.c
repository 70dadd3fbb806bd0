/*
 * Runs the library's functions on cases from standard input, as NativeCases.java writes them, and writes their results to standard
 * output: so a machine that has an emulator can check kernels for a processor that it is not. Argument: the level, as in shoal.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../../main/c/shoal.h"

static void fail(const char *why) {
    fprintf(stderr, "%s\n", why);
    exit(1);
}

static void *room(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (p == NULL) {
        fail("no memory");
    }
    return p;
}

static void *next(size_t bytes) {
    void *p = room(bytes);
    if (fread(p, 1, bytes, stdin) != bytes) {
        fail("a case is cut short");
    }
    return p;
}

static int32_t number(void) {
    int32_t n;
    if (fread(&n, sizeof n, 1, stdin) != 1) {
        fail("a case is cut short");
    }
    return n;
}

static void product(int level) {
    int type = number(), rows = number(), columns = number(), tokens = number(), weight_bytes = number(), quantised = number();
    void *w = next((size_t)weight_bytes), *x = next(sizeof(float) * columns * tokens), *packed = x;
    if (quantised) {
        packed = room((size_t)shoal_packed_bytes(columns, tokens));
        shoal_pack(level, x, columns, tokens, 0, tokens, packed);
    }
    size_t scratch_bytes = (size_t)shoal_scratch_bytes(columns);
    void *scratch = room(scratch_bytes);
    float *out = room(sizeof(float) * rows * tokens);
    if (shoal_multiply(level, type, w, rows, columns, packed, tokens, out, rows, scratch, (int64_t)scratch_bytes) != 0) {
        fail("there is no kernel for a type");
    }
    fwrite(out, sizeof(float), (size_t)rows * tokens, stdout);
    if (quantised) {
        free(packed);
    }
    free(w), free(x), free(scratch), free(out);
}

static void attention(int level) {
    int cache = number(), keys = number(), values = number(), size = number(), first = number(), rows = number(), heads = number();
    int stride = number(), window = number(), count = number(), page_bytes = number(), sinks = number(), floats = number();
    float *numbers = next(2 * sizeof(float));
    float *of_heads = next(sizeof(float) * sinks), *queries = next(sizeof(float) * floats);
    uint8_t *memory = next((size_t)page_bytes * count);
    int64_t *pages = room(sizeof(int64_t) * count);
    for (int i = 0; i < count; i++) {
        pages[i] = (int64_t)(uintptr_t)(memory + (size_t)i * page_bytes);
    }
    float *out = room(sizeof(float) * floats);
    for (int i = 0; i < floats; i++) {
        out[i] = 0;
    }
    void *scratch = room((size_t)shoal_attend_bytes(size, rows * heads, 16 * count));
    if (shoal_attend(level, cache, pages, keys, values, size, first, rows, heads, queries, out, stride, numbers[0], window, numbers[1],
            sinks ? of_heads : NULL, scratch) != 0) {
        fail("there is no such cache");
    }
    fwrite(out, sizeof(float), (size_t)floats, stdout);
    free(numbers), free(of_heads), free(queries), free(memory), free(pages), free(out), free(scratch);
}

/* Both gates, one after the other, and the sum of squares. */
static void elements(int level) {
    int count = number();
    float *gates = next(sizeof(float) * count), *up = next(sizeof(float) * count), *out = room(sizeof(float) * count);
    for (int gelu = 0; gelu < 2; gelu++) {
        for (int i = 0; i < count; i++) {
            out[i] = gates[i];
        }
        shoal_gate(level, gelu, out, up, count);
        fwrite(out, sizeof(float), (size_t)count, stdout);
    }
    float sum = shoal_sum_of_squares(level, up, count);
    fwrite(&sum, sizeof sum, 1, stdout);
    free(gates), free(up), free(out);
}

int main(int count, char **arguments) {
    int level = count == 2 ? atoi(arguments[1]) : -1;
    if (level < 0 || !(shoal_levels() >> level & 1)) {
        fail("the level does not run here");
    }
    for (int cases = number(); cases > 0; cases--) {
        int kind = number();
        if (kind == 0) {
            product(level);
        } else if (kind == 1) {
            attention(level);
        } else {
            elements(level);
        }
    }
    return 0;
}
