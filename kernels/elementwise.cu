// What is done to each token by itself: embedding, norm, rotation, activation, and Q8 after each.
#include "linear.cuh"

// Code `k` of a row's block.
template <u32 L>
DEVICE int code(const Matrix& m, u32 row, u32 block, u32 k) {
    u32 lane = row % 8 * 4 + k % 16 / 4, high = k / 16;
    u64 index = (((u64)(row / TILE) * m.blocks + block) * 32 + lane) * Form<L>::words + row % TILE / 8;
    if (!Form<L>::nibbles) index += high * 2;
    u32 word = at<u32>(m.codes)[index];
    if (Form<L>::nibbles) word = unpack<L>(word, high * 4);
    return (i8)(word >> (k % 4 * 8));
}

// Section 7, last sentence.
template <u32 L>
DEVICE float value(const Matrix& m, u32 row, u32 column) {
    u32 block = column / 32, b = block % SEGMENT, segments = (m.blocks + SEGMENT - 1) / SEGMENT;
    u64 first = ((u64)(row / TILE) * segments + block / SEGMENT) * TILE;
    Scales<L> d;
    d.load(m.scales + first * (Form<L>::wide ? 32 : 16), row % TILE);
    int q = code<L>(m, row, block, column % 32);
    if (Form<L>::halves) {
        u32 scales = at<Words4>(m.halves)[first + row % TILE].w[b / 2] >> (b % 2 * 16);
        q *= (i8)(column % 32 / 16 ? scales >> 8 : scales);
    }
    if (!Form<L>::minimum) return mul_rn(d.get(b), from_int(q));
    Scales<L> minimum;
    minimum.load(m.mins + first * (Form<L>::wide ? 32 : 16), row % TILE);
    return fma_rn(d.get(b), from_int(q), minimum.get(b));
}

KERNEL(embed_tokens, EmbedParams, 256) {
    u32 token = blockIdx.x;
    if (token >= at<u32>(p.header)[TOKENS]) return;
    u32 row = at<u32>(p.ids)[token];
    float* x = at_mut<float>(p.x) + (u64)token * p.width;
    const Matrix& m = p.matrix;
    for (u32 c = threadIdx.x; c < p.width; c += blockDim.x) {
        switch (m.layout) {
            case FOUR: x[c] = value<FOUR>(m, row, c); break;
            case FOUR_MIN: x[c] = value<FOUR_MIN>(m, row, c); break;
            case FOUR_WIDE: x[c] = value<FOUR_WIDE>(m, row, c); break;
            case BYTE: x[c] = value<BYTE>(m, row, c); break;
            case BYTE_WIDE: x[c] = value<BYTE_WIDE>(m, row, c); break;
            case SIX: x[c] = value<SIX>(m, row, c); break;
            default: x[c] = value<FLOAT>(m, row, c); break;
        }
    }
}

// Adds what the layer before gave, norms, quantises: a block of threads a token.
enum : u32 { NORM_THREADS = 256, STAGE = 2048 };

KERNEL(rms_norm, NormParams, NORM_THREADS) {
    SHARED(float, stage, STAGE);
    SHARED(float, inverse, 1);
    if (blockIdx.x >= at<u32>(p.header)[p.count_word]) return;
    u32 token = p.gather ? at<u32>(p.gather)[blockIdx.x] : blockIdx.x, lane = threadIdx.x % 32;
    float* x = at_mut<float>(p.x) + (u64)token * p.width;
    const float* y = p.y ? at<float>(p.y) + (u64)token * p.width : nullptr;
    // Sum16: lane l of the first warp takes elements l, l + 16, …
    float sum = 0.0f;
    for (u32 first = 0; first < p.width; first += STAGE) {
        u32 some = smaller(STAGE, p.width - first);
        for (u32 i = threadIdx.x; i < some; i += blockDim.x) {
            float value = x[first + i];
            if (y) x[first + i] = value = add_rn(value, y[first + i]);
            stage[i] = value;
        }
        sync_block();
        if (threadIdx.x < 16) {
            for (u32 i = threadIdx.x; i < some; i += 16) sum = fma_rn(stage[i], stage[i], sum);
        }
        sync_block();
    }
    if (threadIdx.x < 32) {
        UNROLL for (int width = 8; width > 0; width /= 2) sum = add_rn(sum, of_bits(exchange_xor(bits_of(sum), width)));
        if (lane == 0) {
            float v = add_rn(div_rn(sum, from_int((int)p.width)), p.eps);
            // Squares that overflow would make zeros of every value: they are to be refused as if a value had.
            inverse[0] = is_finite(v) ? div_rn(1.0f, sqrt_rn(v)) : of_bits(0x7fc00000u);
        }
    }
    sync_block();
    float scale = inverse[0];
    bool finite = true;
    for (u32 block = threadIdx.x / 32; block < p.width / 32; block += blockDim.x / 32) {
        u32 c = block * 32 + lane;
        float result = mul_rn(mul_rn(x[c], scale), at<float>(p.weight)[c]);
        if (p.raw) at_mut<float>(p.raw)[(u64)blockIdx.x * p.width + c] = result;
        Quantized q = quantize(result);
        finite &= q.finite;
        u64 scales = (u64)blockIdx.x * p.scale_stride;
        store(q, block, lane, at_mut<i8>(p.codes) + (u64)blockIdx.x * p.stride, at_mut<float>(p.scales) + scales,
              at_mut<float>(p.weighted) + scales);
        if (p.plain) {
            at_mut<i8>(p.plain)[(u64)blockIdx.x * p.width + c] = (i8)q.q;
            if (lane == 0) at_mut<float>(p.plain_scales)[(u64)blockIdx.x * (p.width / 32) + block] = q.scale;
        }
    }
    if (!finite && lane == 0) set_bits(at_mut<u32>(p.failed) + at<u32>(p.row_of)[token], 1);
}

// Rotates queries and keys, quantises all three, writes keys and values to the cache: a warp a head.
KERNEL(rotate, RotateParams, 128) {
    u32 token = blockIdx.x, lane = threadIdx.x % 32, head = blockIdx.y * (blockDim.x / 32) + threadIdx.x / 32;
    if (token >= at<u32>(p.header)[TOKENS] || head >= p.heads + 2 * p.kv_heads) return;
    u32 width = p.width, half = width / 2;
    const float* x = at<float>(p.qkv) + (u64)token * (p.heads + 2 * p.kv_heads) * width + head * width;
    const float* cos_sin = at<float>(p.cos_sin) + (u64)at<u32>(p.positions)[token] * width;
    bool query = head < p.heads, value = head >= p.heads + p.kv_heads, finite = true;
    i8* codes;
    float* scales;
    if (query) {
        codes = at_mut<i8>(p.queries) + ((u64)token * p.heads + head) * width;
        scales = at_mut<float>(p.query_scales) + ((u64)token * p.heads + head) * (width / 32);
    } else {
        u32 slot = at<u32>(p.slots)[token], which = (head - p.heads) % p.kv_heads;
        u64 part = p.cache + slot / 16 * p.page_bytes + p.layer_offset + (u64)which * p.head_bytes;
        // | keys [16][width] | values [16][width] | key scales [16][width/32] | value scales [16][width/32] |
        codes = at_mut<i8>(part) + (value ? 16 * width : 0) + slot % 16 * width;
        scales = at_mut<float>(part + 32 * width) + ((value ? 16 : 0) + slot % 16) * (width / 32);
    }
    for (u32 block = 0; block < width / 32; block++) {
        u32 c = block * 32 + lane;
        float result = value ? x[c] : rotated(x, cos_sin, c, half);
        if (p.raw) at_mut<float>(p.raw)[((u64)token * (p.heads + 2 * p.kv_heads) + head) * width + c] = result;
        Quantized q = quantize(result);
        finite &= q.finite;
        codes[c] = (i8)q.q;
        if (lane == 0) scales[block] = q.scale;
    }
    if (!finite && lane == 0) set_bits(at_mut<u32>(p.failed) + at<u32>(p.row_of)[token], 1);
}

// silu(gate) · up, quantised: a warp a block of 32.
KERNEL(activate, ActivateParams, 256) {
    u32 token = blockIdx.y, lane = threadIdx.x % 32, block = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (token >= at<u32>(p.header)[TOKENS] || block >= p.width / 32) return;
    const float* gate = at<float>(p.gate_up) + (u64)token * p.in_stride + block * 32 + lane;
    float result = silu_mul(gate[0], gate[p.width]);
    if (p.raw) at_mut<float>(p.raw)[(u64)token * p.width + block * 32 + lane] = result;
    Quantized q = quantize(result);
    u64 offset = (u64)token * p.scale_stride;
    store(q, block, lane, at_mut<i8>(p.codes) + (u64)token * p.stride, at_mut<float>(p.scales) + offset,
          at_mut<float>(p.weighted) + offset);
    if (!q.finite && lane == 0) set_bits(at_mut<u32>(p.failed) + at<u32>(p.row_of)[token], 1);
}

// For the self-test alone.
KERNEL(exponentials, VectorParams, 256) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < p.count) at_mut<float>(p.x)[i] = exponential(at<float>(p.x)[i]);
}

// For the self-test alone: Q8, a warp a block.
KERNEL(quantize_blocks, VectorParams, 32) {
    u32 block = blockIdx.x, lane = threadIdx.x;
    if (block >= p.count / 32) return;
    Quantized q = quantize(at<float>(p.x)[block * 32 + lane]);
    store(q, block, lane, at_mut<i8>(p.codes), at_mut<float>(p.scales), at_mut<float>(p.weighted));
    if (!q.finite && lane == 0) set_bits(at_mut<u32>(p.failed), 1);
}
