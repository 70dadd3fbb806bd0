/*
 * Stands before the kernels' source when it is compiled for a CPU: what CUDA C++ knows of itself, done with one fibre for each
 * work-item. Groups run one after another; the fibres of a group in turn, each until it waits for the others of its group (a barrier)
 * or of its warp. What a warp does as a whole is done by the rules of PTX's documentation. A wait that never ends is an error.
 */
#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <utility>

#define __global__ __attribute__((used))
#define __device__
#define __forceinline__ inline
#define __shared__ static
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __CUDA_ARCH__ 900
#define INSTRUCTIONS_GIVEN

struct int4 {
    int x, y, z, w;
};

struct Dimensions {
    unsigned x, y, z;
};

namespace emulator {

enum State { RUNNABLE, AT_BARRIER, AT_WARP, DONE };

struct Fibre {
    ucontext_t begin;
    jmp_buf at;
    bool begun;
    State state;
    Dimensions item;
    char *stack;
};

const int MOST_ITEMS = 1024;
const size_t STACK_BYTES = 64 << 10;
static Fibre fibres[MOST_ITEMS];
static Fibre *running;
static jmp_buf scheduler;
static int items;
static unsigned turn;
static void (*body)(void *);
static void *body_data;

/* What each work-item of a group has handed to its warp. */
static uint32_t handed[MOST_ITEMS][8];

static Dimensions item, group, items_of;

static void wait_for(State state) {
    running->state = state;
    if (_setjmp(running->at) == 0) {
        _longjmp(scheduler, 1);
    }
}

static void begin() {
    body(body_data);
    running->state = DONE;
    _longjmp(scheduler, 1);
}

static void go_on(Fibre *fibre) {
    running = fibre;
    item = fibre->item;
    if (_setjmp(scheduler) == 0) {
        if (fibre->begun) {
            _longjmp(fibre->at, 1);
        }
        fibre->begun = true;
        setcontext(&fibre->begin);
    }
}

static bool all_wait(int from, int to, State state) {
    bool some = false;
    for (int i = from; i < to; i++) {
        if (fibres[i].state != state && fibres[i].state != DONE) {
            return false;
        }
        some |= fibres[i].state == state;
    }
    return some;
}

static void release(int from, int to, State state) {
    for (int i = from; i < to; i++) {
        if (fibres[i].state == state) {
            fibres[i].state = RUNNABLE;
        }
    }
}

/* Runs one group; whose turn it is first changes from group to group. Returns 0, or 1 if work-items wait for each other for ever. */
static int run_group() {
    for (int i = 0; i < items; i++) {
        Fibre *fibre = &fibres[i];
        if (!fibre->stack) {
            fibre->stack = (char *)malloc(STACK_BYTES);
        }
        getcontext(&fibre->begin);
        fibre->begin.uc_stack.ss_sp = fibre->stack;
        fibre->begin.uc_stack.ss_size = STACK_BYTES;
        fibre->begin.uc_link = 0;
        makecontext(&fibre->begin, begin, 0);
        fibre->begun = false;
        fibre->state = RUNNABLE;
        fibre->item.x = i % items_of.x;
        fibre->item.y = i / items_of.x;
        fibre->item.z = 0;
    }
    for (;;) {
        bool moved = false;
        int done = 0;
        turn = turn * 1664525u + 1013904223u;
        for (int i = 0; i < items; i++) {
            Fibre *fibre = &fibres[(turn & 1 ? items - 1 - i : i)];
            if (fibre->state == RUNNABLE) {
                go_on(fibre);
                moved = true;
            }
        }
        for (int i = 0; i < items; i++) {
            done += fibres[i].state == DONE;
        }
        if (done == items) {
            return 0;
        }
        for (int warp = 0; warp < items; warp += 32) {
            int end = warp + 32 < items ? warp + 32 : items;
            if (all_wait(warp, end, AT_WARP)) {
                release(warp, end, AT_WARP);
                moved = true;
            }
        }
        if (all_wait(0, items, AT_BARRIER)) {
            release(0, items, AT_BARRIER);
            moved = true;
        }
        if (!moved) {
            return 1;
        }
    }
}

template <class... A, size_t... I>
static void call(void (*kernel)(A...), void **parameters, std::index_sequence<I...>) {
    kernel(*(A *)parameters[I]...);
}

template <class... A>
struct Call {
    void (*kernel)(A...);
    void **parameters;
    static void run(void *data) {
        Call *self = (Call *)data;
        call(self->kernel, self->parameters, std::index_sequence_for<A...>());
    }
};

template <class... A>
static int launch(
        void (*kernel)(A...), unsigned groups0, unsigned groups1, unsigned items0, unsigned items1, void **parameters) {
    Call<A...> data = {kernel, parameters};
    if (items0 * items1 > MOST_ITEMS || items0 * items1 == 0 || groups0 == 0 || groups1 == 0) {
        return 1;
    }
    body = Call<A...>::run;
    body_data = &data;
    items = items0 * items1;
    items_of = {items0, items1, 1};
    for (unsigned y = 0; y < groups1; y++) {
        for (unsigned x = 0; x < groups0; x++) {
            group = {x, y, 0};
            if (run_group()) {
                return 719;
            }
        }
    }
    return 0;
}

static int number() { return item.y * items_of.x + item.x; }

static int first_of_warp() { return number() / 32 * 32; }

/* What a lane of one's own warp hands over at this point of the program. */
static uint32_t exchange(uint32_t mine, int lane) {
    uint32_t theirs;
    handed[number()][0] = mine;
    wait_for(AT_WARP);
    theirs = handed[first_of_warp() + lane][0];
    wait_for(AT_WARP);
    return theirs;
}

static int byte_of(uint32_t word, int i) { return (int8_t)(word >> 8 * i); }

}  // namespace emulator

#define threadIdx emulator::item
#define blockIdx emulator::group
#define blockDim emulator::items_of
#define __syncthreads() emulator::wait_for(emulator::AT_BARRIER)
#define __syncwarp() emulator::wait_for(emulator::AT_WARP)

static float __int_as_float(int bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static int __float_as_int(float value) {
    int bits;
    memcpy(&bits, &value, 4);
    return bits;
}

static float __shfl_xor_sync(unsigned lanes, float value, int distance) {
    int lane = emulator::number() % 32 ^ distance;
    return __int_as_float((int)emulator::exchange((uint32_t)__float_as_int(value), lane));
}

static float __shfl_sync(unsigned lanes, float value, int lane) {
    return __int_as_float((int)emulator::exchange((uint32_t)__float_as_int(value), lane));
}

static int __dp4a(int a, int b, int sum) {
    for (int i = 0; i < 4; i++) {
        sum += emulator::byte_of((uint32_t)a, i) * emulator::byte_of((uint32_t)b, i);
    }
    return sum;
}

static float half_at(const unsigned short *at) {
    _Float16 value;
    memcpy(&value, at, 2);
    return (float)value;
}

static void half_to(float value, unsigned short *at) {
    _Float16 rounded = (_Float16)value;
    memcpy(at, &rounded, 2);
}

/* BF16 is the upper half of F32. */
static uint32_t brain_of(float value) {
    uint32_t bits = (uint32_t)__float_as_int(value);
    if (value != value) {
        return 0x7fff;
    }
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static uint32_t half_of(float value) {
    unsigned short bits;
    half_to(value, &bits);
    return bits;
}

static unsigned pair_f16(float low, float high) { return half_of(low) | half_of(high) << 16; }

static unsigned pair_bf16(float low, float high) { return brain_of(low) | brain_of(high) << 16; }

static void copy_async(void *to, const void *from) {
    if ((uintptr_t)to % 16 || (uintptr_t)from % 16) {
        fprintf(stderr, "copy_async from %p to %p: not at multiples of 16\n", from, to);
        abort();
    }
    memcpy(to, from, 16);
}

static void copy_batch() {}

template <int LEFT>
static void copy_wait() {}

/* PTX ISA, Matrix Fragments for mma.m16n8k16 and .m16n8k32 with .s8: registers' rows and columns by group (lane / 4) and lane % 4. */
static void multiply_warp(int *c, const uint32_t *a, const uint32_t *b, int halves) {
    int self = emulator::number();
    int base = emulator::first_of_warp();
    int lane = self % 32;
    for (int i = 0; i < 2 * halves; i++) {
        emulator::handed[self][i] = a[i];
    }
    for (int i = 0; i < halves; i++) {
        emulator::handed[self][4 + i] = b[i];
    }
    emulator::wait_for(emulator::AT_WARP);
    for (int i = 0; i < 4; i++) {
        int row = lane / 4 + (i < 2 ? 0 : 8);
        int column = lane % 4 * 2 + i % 2;
        for (int k = 0; k < 16 * halves; k++) {
            uint32_t left = emulator::handed[base + row % 8 * 4 + k % 16 / 4][(row < 8 ? 0 : 1) + (k < 16 ? 0 : 2)];
            uint32_t right = emulator::handed[base + column * 4 + k % 16 / 4][4 + k / 16];
            c[i] += emulator::byte_of(left, k % 4) * emulator::byte_of(right, k % 4);
        }
    }
    emulator::wait_for(emulator::AT_WARP);
}

static void multiply_16(int *c, unsigned a0, unsigned a1, unsigned b0) {
    uint32_t a[] = {a0, a1};
    uint32_t b[] = {b0};
    multiply_warp(c, a, b, 1);
}

static void multiply_32(int *c, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1) {
    uint32_t a[] = {a0, a1, a2, a3};
    uint32_t b[] = {b0, b1};
    multiply_warp(c, a, b, 2);
}

/* PTX ISA, Matrix Fragments for mma.m16n8k16 with .f16: each register has two columns of a, or two rows of b, side by side. */
static void multiply_halves(float *c, const uint32_t *a, unsigned b0, unsigned b1, bool brain) {
    int self = emulator::number();
    int base = emulator::first_of_warp();
    int lane = self % 32;
    for (int i = 0; i < 4; i++) {
        emulator::handed[self][i] = a[i];
    }
    emulator::handed[self][4] = b0;
    emulator::handed[self][5] = b1;
    emulator::wait_for(emulator::AT_WARP);
    for (int i = 0; i < 4; i++) {
        int row = lane / 4 + (i < 2 ? 0 : 8);
        int column = lane % 4 * 2 + i % 2;
        for (int k = 0; k < 16; k++) {
            uint32_t left = emulator::handed[base + row % 8 * 4 + k % 8 / 2][(row < 8 ? 0 : 1) + (k < 8 ? 0 : 2)];
            uint32_t right = emulator::handed[base + column * 4 + k % 8 / 2][4 + k / 8];
            unsigned short x = (unsigned short)(left >> k % 2 * 16);
            unsigned short y = (unsigned short)(right >> k % 2 * 16);
            c[i] += brain ? __int_as_float(x << 16) * __int_as_float(y << 16) : half_at(&x) * half_at(&y);
        }
    }
    emulator::wait_for(emulator::AT_WARP);
}

static void multiply_f16(float *c, const unsigned *a, unsigned b0, unsigned b1) { multiply_halves(c, a, b0, b1, false); }

static void multiply_bf16(float *c, const unsigned *a, unsigned b0, unsigned b1) { multiply_halves(c, a, b0, b1, true); }

/* PTX ISA, ldmatrix: lanes 8 m to 8 m + 7 name the rows of matrix m; a lane gets two values of row lane / 4 of each. */
static void load_matrices(unsigned *to, const void *row) {
    int self = emulator::number();
    int base = emulator::first_of_warp();
    int lane = self % 32;
    if ((uintptr_t)row % 16) {
        fprintf(stderr, "load_matrices from %p: not at a multiple of 16\n", row);
        abort();
    }
    memcpy(emulator::handed[self], &row, sizeof row);
    emulator::wait_for(emulator::AT_WARP);
    for (int m = 0; m < 4; m++) {
        const char *from;
        memcpy(&from, emulator::handed[base + 8 * m + lane / 4], sizeof from);
        memcpy(to + m, from + 4 * (lane % 4), 4);
    }
    emulator::wait_for(emulator::AT_WARP);
}
