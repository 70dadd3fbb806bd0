/*
 * What OpenCL C and CUDA C++ spell differently. Kernels are written in what is left: C99 without pointers to functions, recursion
 * or doubles, groups of work-items in at most two dimensions, and memory shared by a group.
 *
 * Sums never depend on how many rows or tokens a launch has: each is made by LANES work-items, each adding its share in rising
 * order, and a tree over them.
 */
#ifndef SHOAL_PORTABLE_H
#define SHOAL_PORTABLE_H

#ifdef __OPENCL_VERSION__

#pragma OPENCL FP_CONTRACT OFF
#define KERNEL __kernel
#define FUNCTION static inline
#define GLOBAL __global
#define LOCAL __local
#define SHARED __local
#define CONSTANT __constant
#define BARRIER barrier(CLK_LOCAL_MEM_FENCE)
#define GLOBAL_BARRIER barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
#define GROUP(dimension) ((int)get_group_id(dimension))
#define ITEM(dimension) ((int)get_local_id(dimension))
#define ITEMS(dimension) ((int)get_local_size(dimension))
#define BITS_TO_FLOAT(bits) as_float(bits)
#define HALF_AT(bytes) vload_half(0, (GLOBAL const half *)(bytes))
#define HALF_TO(value, bytes) vstore_half_rte(value, 0, (GLOBAL half *)(bytes))
#define SQRT(x) sqrt(x)

typedef ulong wide;

/* sum + the products of four signed bytes with four signed bytes. */
FUNCTION int dot4(int a, int b, int sum) {
    char4 x = as_char4(a);
    char4 y = as_char4(b);
    return sum + x.s0 * y.s0 + x.s1 * y.s1 + x.s2 * y.s2 + x.s3 * y.s3;
}

#else

#define KERNEL extern "C" __global__
#define FUNCTION static __device__ __forceinline__
#define GLOBAL
#define LOCAL
#define SHARED __shared__
#define CONSTANT static __device__ const
#define BARRIER __syncthreads()
#define GLOBAL_BARRIER __syncthreads()
#define GROUP(dimension) ((int)((dimension) == 0 ? blockIdx.x : blockIdx.y))
#define ITEM(dimension) ((int)((dimension) == 0 ? threadIdx.x : threadIdx.y))
#define ITEMS(dimension) ((int)((dimension) == 0 ? blockDim.x : blockDim.y))
#define BITS_TO_FLOAT(bits) __int_as_float((int)(bits))
#define HALF_AT(bytes) half_at((const unsigned short *)(bytes))
#define HALF_TO(value, bytes) half_to(value, (unsigned short *)(bytes))
#define SQRT(x) sqrtf(x)
#define fma(a, b, c) fmaf(a, b, c)
#define fabs(a) fabsf(a)
#define fmax(a, b) fmaxf(a, b)
#define fmin(a, b) fminf(a, b)
#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long long wide;

/* What C++ has no word for. Who brings these functions along (a test that runs kernels on a CPU) says so. */
#ifndef INSTRUCTIONS_GIVEN

FUNCTION float half_at(const unsigned short *at) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(*at));
    return value;
}

FUNCTION void half_to(float value, unsigned short *at) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    *at = bits;
}

#if __CUDA_ARCH__ >= 800

/* Copies 16 bytes to memory shared by a group, both at multiples of 16, while the work-item goes on. */
FUNCTION void copy_async(void *to, const void *from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((unsigned)__cvta_generic_to_shared(to)), "l"(from) : "memory");
}

/* Ends a batch of copies, which may be empty. */
FUNCTION void copy_batch() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Waits until all of this work-item's batches but the last so many have arrived. */
template <int LEFT>
FUNCTION void copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}

/*
 * c += a * b by the warp as a whole: a of 16 x 16 signed bytes, b of 16 x 8 (PTX ISA, Matrix Fragments for mma.m16n8k16 with .s8).
 */
FUNCTION void multiply_16(int *c, uint a0, uint a1, uint b0) {
    asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a0), "r"(a1), "r"(b0));
}

/* As multiply_16, with 32 columns of a and rows of b (mma.m16n8k32): the second 16 are a2, a3 and b1. */
FUNCTION void multiply_32(int *c, uint a0, uint a1, uint a2, uint a3, uint b0, uint b1) {
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

/* c += a * b by the warp as a whole: a of 16 x 16, b of 16 x 8, c of F32 (PTX ISA, Matrix Fragments for mma.m16n8k16 with .f16). */
FUNCTION void multiply_f16(float *c, const uint *a, uint b0, uint b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* As multiply_f16. */
FUNCTION void multiply_bf16(float *c, const uint *a, uint b0, uint b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* Two values rounded to the nearest, the first in the lower half. */
FUNCTION uint pair_f16(float low, float high) {
    uint pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

/* As pair_f16. */
FUNCTION uint pair_bf16(float low, float high) {
    uint pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

/* Four matrices of 8 x 8 halves from memory shared by a group, by the warp: each lane names the 16 bytes of one row (PTX ISA, ldmatrix). */
FUNCTION void load_matrices(uint *to, const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"((unsigned)__cvta_generic_to_shared(row))
                 : "memory");
}

#endif
#endif

/* sum + the products of four signed bytes with four signed bytes: one instruction from compute capability 6.1 on. */
FUNCTION int dot4(int a, int b, int sum) {
#if __CUDA_ARCH__ >= 610
    return __dp4a(a, b, sum);
#else
    for (int i = 0; i < 32; i += 8) {
        sum += (int)(signed char)(a >> i) * (int)(signed char)(b >> i);
    }
    return sum;
#endif
}

#endif

/* Work-items that add up one output of a product. */
#define LANES 16

/* Outputs of a product that one group makes. */
#define ROWS 8

/* Tokens that a group multiplies with each weight that it has unpacked. */
#define TILE 8

/* Work-items of a team. A group that looks at all of a row has one, or TEAMS of them. */
#define WIDE_LANES 64

/* Teams of a group that makes one head of attention, a norm, or a choice. */
#define TEAMS 4

/* Most values of a head. */
#define MAX_HEAD 512

/* Most experts of a layer. */
#define MAX_EXPERTS 1024

/* Positions in a page of keys and values. */
#define PAGE 16

/* Values that share a scale when activations are rounded to 8 bits. */
#define PART 32

/* e^x: reduction by ln 2 in two parts, then a polynomial of degree 6 (Cephes, expf), as shoal.bridge.kernel.Exponential. */
FUNCTION float exponential(float x) {
    float n, r, p;
    int whole, half_of_it;
    if (x < -87.33f) {
        return 0.0f;
    }
    if (x > 88.72f) {
        return INFINITY;
    }
    n = (x * 1.44269504088896341f + 12582912.0f) - 12582912.0f;
    r = fma(n, -0.693359375f, x);
    r = fma(n, 2.12194440e-4f, r);
    p = fma(1.9875691500e-4f, r, 1.3981999507e-3f);
    p = fma(p, r, 8.3334519073e-3f);
    p = fma(p, r, 4.1665795894e-2f);
    p = fma(p, r, 1.6666665459e-1f);
    p = fma(p, r, 5.0000001201e-1f);
    p = fma(p * r, r, r) + 1.0f;
    if (n != n) {
        return n;
    }
    whole = (int)n;
    half_of_it = whole >> 1;
    return p * BITS_TO_FLOAT((half_of_it + 127) << 23) * BITS_TO_FLOAT((whole - half_of_it + 127) << 23);
}

/* By a polynomial of degree 11 below 0.625 (Cephes, tanhf), else by e^x. */
FUNCTION float hyperbolic_tangent(float x) {
    float size = fabs(x);
    float z, p;
    if (size < 0.625f) {
        z = x * x;
        p = fma(-5.70498872745e-3f, z, 2.06390887954e-2f);
        p = fma(p, z, -5.37397155531e-2f);
        p = fma(p, z, 1.33314422036e-1f);
        p = fma(p, z, -3.33332819422e-1f);
        return fma(p * z, x, x);
    }
    p = 1.0f - 2.0f / (exponential(2.0f * size) + 1.0f);
    return x < 0.0f ? -p : p;
}

FUNCTION float gelu_of(float x) {
    float y = 0.79788456080286536f * x * (1.0f + 0.044715f * x * x);
    return x / (1.0f + exponential(-2.0f * y));
}

/* Adds the values that a team's work-items bring; each gets its team's sum. scratch: room for WIDE_LANES for each team of the group. */
FUNCTION float group_sum(float value, LOCAL float *scratch) {
    int lane = ITEM(0) % WIDE_LANES;
    float sum;
    scratch += ITEM(0) - lane;
    scratch[lane] = value;
    BARRIER;
    for (int half_size = WIDE_LANES / 2; half_size > 0; half_size /= 2) {
        if (lane < half_size) {
            scratch[lane] += scratch[lane + half_size];
        }
        BARRIER;
    }
    sum = scratch[0];
    BARRIER;
    return sum;
}

/* As group_sum, the greatest. */
FUNCTION float group_max(float value, LOCAL float *scratch) {
    int lane = ITEM(0) % WIDE_LANES;
    float greatest;
    scratch += ITEM(0) - lane;
    scratch[lane] = value;
    BARRIER;
    for (int half_size = WIDE_LANES / 2; half_size > 0; half_size /= 2) {
        if (lane < half_size) {
            scratch[lane] = fmax(scratch[lane], scratch[lane + half_size]);
        }
        BARRIER;
    }
    greatest = scratch[0];
    BARRIER;
    return greatest;
}

/* As group_sum, over all TEAMS of the group, one after another. */
FUNCTION float all_sum(float value, LOCAL float *scratch) {
    float sum = group_sum(value, scratch);
    scratch[ITEM(0)] = sum;
    BARRIER;
    sum = 0.0f;
    for (int team = 0; team < TEAMS; team++) {
        sum += scratch[team * WIDE_LANES];
    }
    BARRIER;
    return sum;
}

/* As all_sum, the greatest. */
FUNCTION float all_max(float value, LOCAL float *scratch) {
    float greatest = group_max(value, scratch);
    scratch[ITEM(0)] = greatest;
    BARRIER;
    greatest = scratch[0];
    for (int team = 1; team < TEAMS; team++) {
        greatest = fmax(greatest, scratch[team * WIDE_LANES]);
    }
    BARRIER;
    return greatest;
}

#endif
