// The fast tier in bf16, but for attention: what is done to each token by itself, linear layers, LoRA.
#include "fast.cuh"
#include "profile.cuh"

FEW(fast_linear_1, false, 1)
FEW(fast_linear_2, false, 2)
FEW(fast_linear_4, false, 4)
MANY(fast_linear_wide, false)

KERNEL(fast_embed, EmbedParams, 256) {
    u32 token = blockIdx.x;
    if (token >= at<u32>(p.header)[TOKENS]) return;
    u32 row = at<u32>(p.ids)[token];
    float* x = at_mut<float>(p.x) + (u64)token * p.width;
    const u16* tile = at<u16>(p.matrix.codes) + (u64)(row / TILE) * p.matrix.blocks * (TILE * 16);
    for (u32 c = threadIdx.x; c < p.width; c += blockDim.x) x[c] = of_brain(tile[brain_place(row % TILE, c)]);
}

// Adds what the layer before gave and norms: a block of threads a token. The last one is quantised too, for the hash chain.
enum : u32 { NORM_THREADS = 256 };

KERNEL(fast_norm, NormParams, NORM_THREADS) {
    SHARED(float, sums, NORM_THREADS / 32);
    if (blockIdx.x >= at<u32>(p.header)[p.count_word]) return;
    u32 token = p.gather ? at<u32>(p.gather)[blockIdx.x] : blockIdx.x, lane = threadIdx.x % 32;
    float* x = at_mut<float>(p.x) + (u64)token * p.width;
    const float* y = p.y ? at<float>(p.y) + (u64)token * p.width : nullptr;
    float sum = 0.0f;
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) {
        float value = x[i];
        if (y) x[i] = value = add_rn(value, y[i]);
        sum = fma_rn(value, value, sum);
    }
    UNROLL for (int mask = 16; mask > 0; mask /= 2) sum = add_rn(sum, of_bits(exchange_xor(bits_of(sum), mask)));
    if (lane == 0) sums[threadIdx.x / 32] = sum;
    sync_block();
    float total = 0.0f;
    for (u32 warp = 0; warp < blockDim.x / 32; warp++) total = add_rn(total, sums[warp]);
    float v = add_rn(div_rn(total, from_int((int)p.width)), p.eps);
    // As in elementwise.cu: overflow is to be refused.
    float scale = is_finite(v) ? div_rn(1.0f, sqrt_rn(v)) : of_bits(0x7fc00000u);
    bool finite = true;
    for (u32 block = threadIdx.x / 32; block < p.width / 32; block += blockDim.x / 32) {
        u32 c = block * 32 + lane;
        float result = mul_rn(mul_rn(x[c], scale), at<float>(p.weight)[c]);
        u16 brain = to_brain(result);
        finite &= is_finite(brain);
        at_mut<u16>(p.codes + (u64)blockIdx.x * p.stride)[c] = brain;
        if (p.plain) {
            Quantized q = quantize(result);
            at_mut<i8>(p.plain)[(u64)blockIdx.x * p.width + c] = (i8)q.q;
            if (lane == 0) at_mut<float>(p.plain_scales)[(u64)blockIdx.x * (p.width / 32) + block] = q.scale;
        }
    }
    if (!finite) set_bits(at_mut<u32>(p.failed) + at<u32>(p.row_of)[token], 1);
}

// Rotates queries and keys, writes keys and values to the cache, each page as a tile that attention multiplies: keys by position,
// values by column. A warp a head.
KERNEL(fast_rotate, RotateParams, 128) {
    u32 token = blockIdx.x, lane = threadIdx.x % 32, head = blockIdx.y * (blockDim.x / 32) + threadIdx.x / 32;
    if (token >= at<u32>(p.header)[TOKENS] || head >= p.heads + 2 * p.kv_heads) return;
    u32 width = p.width, half = width / 2, slot = at<u32>(p.slots)[token];
    const float* x = at<float>(p.qkv) + ((u64)token * (p.heads + 2 * p.kv_heads) + head) * width;
    const float* cos_sin = at<float>(p.cos_sin) + (u64)at<u32>(p.positions)[token] * width;
    bool query = head < p.heads, value = head >= p.heads + p.kv_heads, finite = true;
    u16* queries = at_mut<u16>(p.queries) + ((u64)token * p.heads + head) * width;
    u32 which = query ? 0 : (head - p.heads) % p.kv_heads;
    u16* page = at_mut<u16>(p.cache + slot / 16 * p.page_bytes + p.layer_offset + (u64)which * p.head_bytes);
    for (u32 c = lane; c < width; c += 32) {
        u16 brain = to_brain(value ? x[c] : rotated(x, cos_sin, c, half));
        finite &= is_finite(brain);
        if (query) {
            queries[c] = brain;
        } else if (value) {
            page[16 * width + c / 16 * 256 + brain_place(c % 16, slot % 16)] = brain;
        } else {
            page[brain_place(slot % 16, c)] = brain;
        }
    }
    if (!finite) set_bits(at_mut<u32>(p.failed) + at<u32>(p.row_of)[token], 1);
}

// silu(gate) · up: a warp a block of 32.
KERNEL(fast_activate, ActivateParams, 256) {
    u32 token = blockIdx.y, lane = threadIdx.x % 32, block = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (token >= at<u32>(p.header)[TOKENS] || block >= p.width / 32) return;
    const float* gate = at<float>(p.gate_up) + (u64)token * p.in_stride + block * 32 + lane;
    u16 brain = to_brain(silu_mul(gate[0], gate[p.width]));
    at_mut<u16>(p.codes + (u64)token * p.stride)[block * 32 + lane] = brain;
    if (!is_finite(brain)) set_bits(at_mut<u32>(p.failed) + at<u32>(p.row_of)[token], 1);
}

// δ = B · bf16(u), added to the output: for one place of the compositions, so that adapters add in request order. An adapter with
// gains, which is alone on its tokens, then scales each row, and the bias follows.
//
// A block has up to eight vectors of one group and, of one projection, up to EACH tiles for each of its warps. Ranks are in
// shared memory one segment at a time, each adapter's as many as it has, to the next sixteen.
enum : u32 { EACH = 4, RANKS = SPAN + 16 };

DEVICE void brain_ranks(const ExpandParams& p, const Module& module, u64 u, const u32* entries, u32 count, u32 s, u16* ranks) {
    u32 some = smaller(SPAN, module.b_blocks * 16 - s * SPAN);
    for (u32 i = threadIdx.x; i < 8 * some; i += blockDim.x) {
        u32 vector = i / some, k = s * SPAN + i % some;
        bool there = vector < count && k < module.rank;
        u16 brain = to_brain(there ? at<float>(u)[(u64)vector * p.u_stride + k] : 0.0f);
        ranks[vector * RANKS + i % some] = brain;
        if (!is_finite(brain)) set_bits(at_mut<u32>(p.failed) + at<u32>(p.row_of)[entries[vector]], 1);
    }
}

KERNEL(fast_expand, ExpandParams, WARPS * 32) {
    SHARED(u16, ranks, 8 * RANKS);
    const u32* places = at<u32>(p.places);
    u32 index = places[p.place] + blockIdx.y;
    if (index >= places[p.place + 1]) return;
    // Which projection, and which of its tiles.
    u32 projection = 0, first = blockIdx.x * WARPS * EACH, across = WARPS * EACH;
    for (u32 tiles; projection < p.projections; projection++, first -= tiles) {
        tiles = (p.rows[projection] + TILE * across - 1) / (TILE * across) * across;
        if (first < tiles) break;
    }
    if (projection >= p.projections) return;
    Group g = at<Group>(p.groups)[index];
    u64 adapter = (u64)g.adapter_high << 32 | g.adapter_low;
    Module module = at<Module>(adapter)[p.layer * 7 + p.projection + projection];
    if (module.rank == 0) return;
    const float* gains = module.gains ? at<float>(adapter + module.gains) : nullptr;
    const float* bias = gains && p.biases[projection] ? at<float>(p.biases[projection]) : nullptr;
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, rows = p.rows[projection];
    Matrix m = {adapter + module.b_codes, 0, 0, 0, 0, BRAIN, rows, module.b_blocks, 0};
    const u8* x[1] = {reinterpret_cast<const u8*>(ranks + lane / 4 * RANKS) + lane % 4 * 8};
    for (u32 chunk = 0; chunk < g.count; chunk += 8) {
        const u32* entries = at<u32>(p.entries) + g.first + chunk;
        u32 count = smaller(8, g.count - chunk);
        u64 u = p.u + ((u64)projection * p.u_plane + (u64)(g.first + chunk) * p.u_stride) * 4;
        float y[EACH][4] = {};
        for (u32 s = 0; s * (SPAN / 16) < module.b_blocks; s++) {
            sync_block();
            brain_ranks(p, module, u, entries, count, s, ranks);
            sync_block();
            UNROLL for (u32 e = 0; e < EACH; e++) {
                u32 tile = first + e * WARPS + warp;
                if (tile * TILE >= rows) continue;
                float acc[1][4];
                chain<false, 1>(m, tile, s, lane, x, acc);
                UNROLL for (u32 i = 0; i < 4; i++) y[e][i] = add_rn(y[e][i], acc[0][i]);
            }
        }
        UNROLL for (u32 e = 0; e < EACH; e++) {
            UNROLL for (u32 i = 0; i < 4; i++) {
                u32 row = (first + e * WARPS + warp) * TILE + row_of_result(i, lane), vector = vector_of_result(i, lane);
                if (row >= rows || vector >= count) continue;
                u64 place = (u64)entries[vector] * p.out_stride + p.columns[projection] + row;
                float* out = at_mut<float>(p.out) + place;
                float value = add_rn(*out, y[e][i]);
                if (gains) value = mul_rn(gains[row], value);
                *out = bias ? add_rn(value, bias[row]) : value;
            }
        }
    }
}
