// The fast tier's products in e4m3, from compute capability 8.9 on. Adapters and the head stay bf16, so both are in here.
#include "fast.cuh"

FEW(fast8_linear_1, true, 1)
FEW(fast8_linear_2, true, 2)
FEW(fast8_linear_4, true, 4)
MANY(fast8_linear_wide, true)

// A vector in bf16 to e4m3 with a scale for each 256 values: a warp a segment, eight values a lane. `gate_up` is the source.
KERNEL(fast8_quantize, ActivateParams, 256) {
    u32 token = blockIdx.y, lane = threadIdx.x % 32, s = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (token >= at<u32>(p.header)[TOKENS] || s * SPAN >= p.width) return;
    u32 column = s * SPAN + lane * 8;
    bool there = column < p.width;
    Words4 x = {};
    if (there) x = *reinterpret_cast<const Words4*>(at<u16>(p.gate_up + (u64)token * p.in_stride) + column);
    u32 largest = 0;
    UNROLL for (u32 i = 0; i < 8; i++) {
        u32 bits = (x.w[i / 2] >> (i % 2 * 16) & 0x7fffu) << 16;
        largest = bits > largest ? bits : largest;
    }
    float most = of_bits(warp_max(largest)), scale = 0.0f, inverse = 0.0f;
    // Below that the inverse overflows, and nothing of it would be seen.
    if (most >= of_bits((127u - 100u) << 23)) {
        scale = div_rn(most, 448.0f);
        inverse = div_rn(448.0f, most);
    }
    Words2 codes = {};
    UNROLL for (u32 i = 0; i < 4; i++) {
        float low = mul_rn(of_bits(x.w[i] << 16), inverse), high = mul_rn(of_bits(x.w[i] & 0xffff0000u), inverse);
        codes.w[i / 2] |= (u32)to_eight(low, high) << (i % 2 * 16);
    }
    if (there) *reinterpret_cast<Words2*>(at_mut<u8>(p.weighted + (u64)token * p.stride) + column) = codes;
    if (lane == 0) at_mut<float>(p.scales)[(u64)token * p.scale_stride + s] = scale;
}
