// What the kernels use of the machine, and nothing else: no CUDA header is included anywhere.
//
// With TRIBUTARY_EMULATED the same sources are C++ for the CPU, and emulator/cuda.h gives these names their meaning.
#pragma once

typedef signed char i8;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#ifdef TRIBUTARY_EMULATED
#include "emulator/cuda.h"
#else

#define DEVICE static __device__ __forceinline__
#define DEVICE_MEMBER __device__ __forceinline__
#define SHARED(type, name, count) __shared__ __align__(16) type name[count]
// One parameter a kernel: a struct, passed by value. `threads` is the most a block has.
#define KERNEL(name, Params, threads)                                                                                  \
    extern "C" __global__ void __launch_bounds__(threads) name(const __grid_constant__ Params p)
#define UNROLL _Pragma("unroll")

// Arithmetic of the profile: each call is one IEEE operation, rounded to nearest even; nothing is contracted or reordered.
DEVICE float fma_rn(float a, float b, float c) { return __fmaf_rn(a, b, c); }
DEVICE float mul_rn(float a, float b) { return __fmul_rn(a, b); }
DEVICE float add_rn(float a, float b) { return __fadd_rn(a, b); }
DEVICE float sub_rn(float a, float b) { return __fsub_rn(a, b); }
DEVICE float div_rn(float a, float b) { return __fdiv_rn(a, b); }
DEVICE float sqrt_rn(float a) { return __fsqrt_rn(a); }
DEVICE float from_int(int a) { return __int2float_rn(a); }
DEVICE int to_int(float a) { return __float2int_rn(a); }
DEVICE float nearest(float a) { return rintf(a); }
DEVICE u32 bits_of(float a) { return __float_as_uint(a); }
DEVICE float of_bits(u32 a) { return __uint_as_float(a); }
DEVICE float of_half(u16 a) {
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(a));
    return result;
}

DEVICE int dot4(u32 a, u32 b, int c) { return __dp4a((int)a, (int)b, c); }

// Among the 32 lanes of a warp, all of which take part.
DEVICE u32 exchange_xor(u32 value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }
DEVICE void sync_warp() { __syncwarp(); }
DEVICE void sync_block() { __syncthreads(); }
DEVICE void set_bits(u32* word, u32 bits) { atomicOr(word, bits); }

// D = A · B over signed bytes, A 16 × 32, B 32 × 8, in the lanes' shares that PTX's mma.m16n8k32 lays down.
DEVICE void mma_s8_32(int (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%10,%10,%10};"
        : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "r"(0));
}

// The same with A 16 × 16, B 16 × 8: mma.m16n8k16.
DEVICE void mma_s8_16(int (&d)[4], u32 a0, u32 a1, u32 b) {
    asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%7,%7,%7,%7};"
        : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
        : "r"(a0), "r"(a1), "r"(b), "r"(0));
}

// Rounded to nearest even.
DEVICE u16 to_brain(float a) {
    u16 result;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result) : "f"(a));
    return result;
}

// D += A · B over bf16, sums in f32: A 16 × 16, B 16 × 8, mma.m16n8k16. In which order the sixteen are added is the hardware's.
DEVICE void mma_brain(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// From compute capability 8.9 on.
// Two values to e4m3, the first in the low byte; what is too large becomes 448.
DEVICE u16 to_eight(float low, float high) {
    u16 result;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(result) : "f"(high), "f"(low));
    return result;
}

// The same product over e4m3: A 16 × 32, B 32 × 8, mma.m16n8k32.
DEVICE void mma_eight(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#endif

DEVICE float of_brain(u16 a) { return of_bits((u32)a << 16); }
DEVICE bool is_finite(float x) { return (bits_of(x) & 0x7f800000u) != 0x7f800000u; }
DEVICE bool is_finite(u16 brain) { return (brain & 0x7f80u) != 0x7f80u; }

// Sixteen bytes at once.
struct alignas(16) Words4 {
    u32 w[4];
};
struct alignas(8) Words2 {
    u32 w[2];
};
struct alignas(8) Floats2 {
    float f[2];
};

template <class T>
DEVICE const T* at(u64 address) {
    return reinterpret_cast<const T*>(address);
}
template <class T>
DEVICE T* at_mut(u64 address) {
    return reinterpret_cast<T*>(address);
}

DEVICE u32 smaller(u32 a, u32 b) { return a < b ? a : b; }

DEVICE u32 warp_max(u32 value) {
    UNROLL for (int mask = 16; mask > 0; mask /= 2) {
        u32 other = exchange_xor(value, mask);
        value = other > value ? other : value;
    }
    return value;
}

DEVICE int warp_sum(int value) {
    UNROLL for (int mask = 16; mask > 0; mask /= 2) value += (int)exchange_xor((u32)value, mask);
    return value;
}
