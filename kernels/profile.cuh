// Primitives of profile f32-q8-1.
#pragma once
#include "intrinsics.cuh"

// Section 8.
DEVICE float exponential(float x) {
    if (x < -87.0f) return 0.0f;
    if (x > 88.0f) x = 88.0f;
    float n = nearest(mul_rn(x, 1.44269504088896340736f));
    float r = fma_rn(n, 2.12194440e-4f, fma_rn(n, -0.693359375f, x));
    float p = 1.9875691500e-4f;
    p = fma_rn(p, r, 1.3981999507e-3f);
    p = fma_rn(p, r, 8.3334519073e-3f);
    p = fma_rn(p, r, 4.1665795894e-2f);
    p = fma_rn(p, r, 1.6666665459e-1f);
    p = fma_rn(p, r, 5.0000001201e-1f);
    p = add_rn(fma_rn(p, mul_rn(r, r), r), 1.0f);
    return of_bits(bits_of(p) + ((u32)to_int(n) << 23));
}

DEVICE float silu_mul(float gate, float up) {
    return mul_rn(div_rn(gate, add_rn(1.0f, exponential(-gate))), up);
}

// Section 9: element `c` of a head.
DEVICE float rotated(const float* head, const float* cos_sin, u32 c, u32 half) {
    if (c < half) return fma_rn(-head[half + c], cos_sin[half + c], mul_rn(head[c], cos_sin[c]));
    return fma_rn(head[c - half], cos_sin[c], mul_rn(head[c], cos_sin[c - half]));
}

// Section 2 for one block, a lane a value.
struct Quantized {
    int q;
    float scale, weighted;
    bool finite;
};

DEVICE Quantized quantize(float x) {
    u32 largest = warp_max(bits_of(x) & 0x7fffffffu);
    Quantized result = {0, 0.0f, 0.0f, largest < 0x7f800000u};
    if (result.finite && largest >= (127u - 100u) << 23) {
        float most = of_bits(largest);
        float q = nearest(mul_rn(x, div_rn(127.0f, most)));
        q = q < -127.0f ? -127.0f : q > 127.0f ? 127.0f : q;
        result.q = to_int(q);
        result.scale = div_rn(most, 127.0f);
    }
    result.weighted = mul_rn(result.scale, from_int(warp_sum(result.q)));
    return result;
}

// Where value `k` of a vector lies among its quantised codes: within 256 values, in the order in which lanes of a matrix
// product take them, sixteen bytes a lane for each two blocks.
DEVICE u32 fragment(u32 k) {
    u32 block = k / 32, quad = k % 16 / 4;
    return k / 256 * 256 + block % 8 / 2 * 64 + quad * 16 + block % 2 * 8 + k % 32 / 16 * 4 + k % 4;
}

// Stores one block of a vector in fragment order; `block` counts along the vector.
DEVICE void store(const Quantized& value, u32 block, u32 lane, i8* codes, float* scales, float* weighted) {
    codes[fragment(block * 32 + lane)] = (i8)value.q;
    if (lane == 0) {
        scales[block] = value.scale;
        weighted[block] = value.weighted;
    }
}
