// CUDA's builtins for the CPU. A thread of a block is a fiber, a barrier a switch to the scheduler in runtime.cpp.
#pragma once
#include <cstddef>
#include <cstring>
#include <cmath>

namespace emulator {

struct Index {
    unsigned x, y, z;
};

// What the lanes of a warp do together; the scheduler does it once all 32 have come.
enum class Collective { exchange, sync, mma_s8_32, mma_s8_16, mma_brain, mma_eight };

unsigned exchange_xor(unsigned value, int mask);
void sync_warp();
void sync_block();
void set_bits(unsigned* word, unsigned bits);
void mma(Collective which, unsigned* d, const unsigned* a, int a_words, const unsigned* b, int b_words);
// The same, added to what d has.
void mma_add(Collective which, float* d, const unsigned* a, const unsigned* b);

// A kernel, which registers itself when the library is loaded.
struct Kernel {
    const char* name;
    size_t params;
    unsigned threads;
    void (*body)(const void*);
    Kernel* next;
    Kernel(const char* name, size_t params, unsigned threads, void (*body)(const void*));
};

}  // namespace emulator

extern emulator::Index threadIdx, blockIdx, blockDim;

#define DEVICE static inline
#define DEVICE_MEMBER inline
#ifdef TRIBUTARY_SHADOW
// In a section of its own, so that the checker knows shared memory from the rest.
#define SHARED(type, name, count) alignas(16) static type name[count] __attribute__((section("tributary_shared")))
#else
#define SHARED(type, name, count) alignas(16) static type name[count]
#endif
#define KERNEL(name, Params, threads)                                                                                  \
    static void name##_body(const Params& p);                                                                          \
    static emulator::Kernel name##_kernel(#name, sizeof(Params), threads,                                              \
                                          [](const void* p) { name##_body(*static_cast<const Params*>(p)); });         \
    static void name##_body([[maybe_unused]] const Params& p)
#define UNROLL

DEVICE float fma_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
DEVICE float mul_rn(float a, float b) { return a * b; }
DEVICE float add_rn(float a, float b) { return a + b; }
DEVICE float sub_rn(float a, float b) { return a - b; }
DEVICE float div_rn(float a, float b) { return a / b; }
DEVICE float sqrt_rn(float a) { return __builtin_sqrtf(a); }
DEVICE float from_int(int a) { return (float)a; }
DEVICE float nearest(float a) { return __builtin_rintf(a); }
// As the hardware has it: saturating, zero for what is not a number.
DEVICE int to_int(float a) {
    if (!(a == a)) return 0;
    if (a >= 2147483648.0f) return 2147483647;
    if (a < -2147483648.0f) return -2147483647 - 1;
    return (int)__builtin_rintf(a);
}
DEVICE u32 bits_of(float a) {
    u32 bits;
    __builtin_memcpy(&bits, &a, 4);
    return bits;
}
DEVICE float of_bits(u32 bits) {
    float a;
    __builtin_memcpy(&a, &bits, 4);
    return a;
}
DEVICE float of_half(u16 a) {
    u32 sign = (u32)(a & 0x8000) << 16, exponent = a >> 10 & 31, fraction = a & 1023;
    if (exponent == 31) return of_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent > 0) return of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float value = (float)fraction * 5.9604644775390625e-8f;
    return of_bits(sign | bits_of(value));
}
DEVICE int dot4(u32 a, u32 b, int c) {
    for (int i = 0; i < 4; i++) c += (int)(i8)(a >> (8 * i)) * (int)(i8)(b >> (8 * i));
    return c;
}
DEVICE u32 exchange_xor(u32 value, int mask) { return emulator::exchange_xor(value, mask); }
DEVICE void sync_warp() { emulator::sync_warp(); }
DEVICE void sync_block() { emulator::sync_block(); }
DEVICE void set_bits(u32* word, u32 bits) { emulator::set_bits(word, bits); }
DEVICE void mma_s8_32(int (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    u32 b[2] = {b0, b1};
    emulator::mma(emulator::Collective::mma_s8_32, (unsigned*)d, a, 4, b, 2);
}
DEVICE void mma_s8_16(int (&d)[4], u32 a0, u32 a1, u32 b) {
    u32 a[2] = {a0, a1};
    emulator::mma(emulator::Collective::mma_s8_16, (unsigned*)d, a, 2, &b, 1);
}
DEVICE u16 to_brain(float a) {
    u32 bits = bits_of(a);
    if (!(a == a)) return 0x7fff;
    return (u16)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}
DEVICE void mma_brain(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    u32 b[2] = {b0, b1};
    emulator::mma_add(emulator::Collective::mma_brain, d, a, b);
}
// One value to e4m3: four bits of exponent, three of fraction, no infinity; 0x7f is not a number.
DEVICE u32 eight_of(float a) {
    u32 sign = bits_of(a) >> 24 & 0x80;
    if (!(a == a)) return sign | 0x7f;
    float most = __builtin_fabsf(a);
    if (most >= 448.0f) return sign | 0x7e;
    int exponent = (int)(bits_of(most) >> 23) - 127;
    if (exponent < -6) exponent = -6;
    // A unit of the last place, and how many of them; eight units make the next exponent's first.
    u32 units = (u32)__builtin_rintf(__builtin_ldexpf(most, 3 - exponent));
    return sign | (((u32)(exponent + 6) << 3) + units);
}
DEVICE u16 to_eight(float low, float high) { return (u16)(eight_of(low) | eight_of(high) << 8); }
DEVICE void mma_eight(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    u32 b[2] = {b0, b1};
    emulator::mma_add(emulator::Collective::mma_eight, d, a, b);
}
