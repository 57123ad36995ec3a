// Linear layers, LoRA shrink and expand, logits.
#include "jobs.cuh"
#include "linear.cuh"

// Warps that share a tile, each with every so many segments.
enum : u32 { WARPS = 8 };

template <u32 N>
DEVICE void linear(const LinearParams& p, float* parts, float* y) {
    Job job;
    if (!find_job(p, N * 8, FLOAT, job)) return;
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    Vectors<N> x;
    UNROLL for (u32 n = 0; n < N; n++) {
        x.codes[n] = at<i8>(p.codes) + (u64)vector_at(job, n * 8 + lane / 4) * p.stride;
        UNROLL for (u32 c = 0; c < 2; c++) {
            u64 offset = (u64)vector_at(job, n * 8 + lane % 4 * 2 + c) * p.scale_stride;
            x.scales[n][c] = at<float>(p.scales) + offset;
            x.weighted[n][c] = at<float>(p.weighted) + offset;
        }
    }
    u32 segments = (job.matrix.blocks + SEGMENT - 1) / SEGMENT;
    for (u32 e = threadIdx.x; e < N * 128; e += blockDim.x) y[e] = 0.0f;
    for (u32 base = 0, turn = 0; base < segments; base += warps, turn ^= 1) {
        // Two sets of parts in turn: who is still adding reads one, who goes on writes the other.
        float* mine = parts + turn * WARPS * N * 128;
        if (base + warp < segments) {
            float acc[N][4];
            any_segment<N>(job.matrix, job.tile, base + warp, lane, x, base + warp, acc);
            UNROLL for (u32 i = 0; i < N * 4; i++) mine[(warp * N * 4 + i) * 32 + lane] = acc[i / 4][i % 4];
        }
        sync_block();
        u32 some = smaller(warps, segments - base);
        for (u32 e = threadIdx.x; e < N * 128; e += blockDim.x) {
            float sum = y[e];
            for (u32 w = 0; w < some; w++) sum = add_rn(sum, mine[w * N * 128 + e]);
            y[e] = sum;
        }
    }
    const float* bias = at<float>(job.matrix.bias);
    for (u32 e = threadIdx.x; e < N * 128; e += blockDim.x) {
        u32 row = job.tile * TILE + row_of_result(e / 32, e % 32), vector = vector_of_result(e / 32, e % 32);
        if (row >= job.matrix.rows || vector >= job.count) continue;
        bool biased = bias && !bias_waits(p, job.first + vector, job.which);
        float value = biased ? add_rn(y[e], bias[row]) : y[e];
        job.out[(u64)vector * job.out_stride + row] = value;
    }
}

#define LINEAR(N)                                                                                                      \
    KERNEL(linear_##N, LinearParams, WARPS * 32) {                                                                     \
        SHARED(float, parts, 2 * WARPS * N * 128);                                                                     \
        SHARED(float, y, N * 128);                                                                                     \
        linear<N>(p, parts, y);                                                                                        \
    }
LINEAR(1)
LINEAR(2)
LINEAR(4)

// Many vectors: a warp has a tile of its own, a block eight tiles and 64 vectors, which it keeps in shared memory a segment
// at a time. The same sums in the same order.
enum : u32 { WIDE = 8, ROOM = 256 + 64 };

KERNEL(linear_wide, LinearParams, WARPS * 32) {
    SHARED(i8, codes, WIDE * 8 * ROOM);
    SHARED(float, scales, WIDE * 8 * SEGMENT);
    SHARED(float, weighted, WIDE * 8 * SEGMENT);
    u32 lane = threadIdx.x % 32, tile = blockIdx.x * WARPS + threadIdx.x / 32;
    u32 first = blockIdx.y * WIDE * 8, all = at<u32>(p.header)[p.count_word];
    if (first >= all) return;
    u32 count = smaller(WIDE * 8, all - first), which = 0;
    u32 tiles = (p.matrices[0].rows + TILE - 1) / TILE;
    bool busy = tile < p.tiles;
    while (busy && tile >= tiles) {
        tile -= tiles;
        which += 1;
        tiles = (p.matrices[which].rows + TILE - 1) / TILE;
    }
    const Matrix& m = p.matrices[which];
    Vectors<WIDE> x;
    UNROLL for (u32 n = 0; n < WIDE; n++) {
        x.codes[n] = codes + (n * 8 + lane / 4) * ROOM;
        UNROLL for (u32 c = 0; c < 2; c++) {
            x.scales[n][c] = scales + (n * 8 + lane % 4 * 2 + c) * SEGMENT;
            x.weighted[n][c] = weighted + (n * 8 + lane % 4 * 2 + c) * SEGMENT;
        }
    }
    float y[WIDE][4] = {};
    // All matrices of a launch have the same inputs.
    u32 segments = (p.matrices[0].blocks + SEGMENT - 1) / SEGMENT;
    for (u32 s = 0; s < segments; s++) {
        sync_block();
        for (u32 i = threadIdx.x; i < WIDE * 8 * 16; i += blockDim.x) {
            u32 vector = first + smaller(i / 16, count - 1);
            const Words4* from = reinterpret_cast<const Words4*>(at<i8>(p.codes) + (u64)vector * p.stride + s * 256);
            reinterpret_cast<Words4*>(codes + i / 16 * ROOM)[i % 16] = from[i % 16];
        }
        for (u32 i = threadIdx.x; i < WIDE * 8 * SEGMENT; i += blockDim.x) {
            u64 from = (u64)(first + smaller(i / SEGMENT, count - 1)) * p.scale_stride + s * SEGMENT + i % SEGMENT;
            scales[i] = at<float>(p.scales)[from];
            weighted[i] = at<float>(p.weighted)[from];
        }
        sync_block();
        if (!busy) continue;
        float acc[WIDE][4];
        any_segment<WIDE>(m, tile, s, lane, x, 0, acc);
        UNROLL for (u32 i = 0; i < WIDE * 4; i++) y[i / 4][i % 4] = add_rn(y[i / 4][i % 4], acc[i / 4][i % 4]);
    }
    if (!busy) return;
    const float* bias = at<float>(m.bias);
    UNROLL for (u32 i = 0; i < WIDE * 4; i++) {
        u32 row = tile * TILE + row_of_result(i, lane), vector = vector_of_result(i, lane);
        if (row >= m.rows || vector >= count) continue;
        bool biased = bias && !bias_waits(p, first + vector, which);
        float value = biased ? add_rn(y[i / 4][i % 4], bias[row]) : y[i / 4][i % 4];
        at_mut<float>(p.out)[(u64)(first + vector) * p.out_stride + m.column + row] = value;
    }
}

// δ = B · Q8(u), added to the output: for one place of the compositions, so that adapters add in request order. An adapter with
// gains, which is alone on its tokens, then scales each row, and the bias follows.
//
// A block has up to eight vectors of one group and, of one projection, up to EACH tiles for each of its warps. Rank is one
// segment at a time, quantised into shared memory.
enum : u32 { EACH = 4, RANK = SEGMENT * 32 };

// Q8 of the group's u over one segment of ranks; zeros past the rank, to whole pairs of blocks, which are read together.
DEVICE void quantize_ranks(const ExpandParams& p, const Module& module, u64 u, const u32* entries, u32 count, u32 s, i8* codes,
                           float* scales) {
    u32 lane = threadIdx.x % 32, blocks = (smaller(SEGMENT, module.b_blocks - s * SEGMENT) + 1) / 2 * 2;
    for (u32 i = threadIdx.x / 32; i < 8 * blocks; i += blockDim.x / 32) {
        u32 vector = i / blocks, block = i % blocks, k = (s * SEGMENT + block) * 32 + lane;
        bool there = vector < count && k < module.rank;
        Quantized q = quantize(there ? at<float>(u)[(u64)vector * p.u_stride + k] : 0.0f);
        codes[vector * 256 + fragment(block * 32 + lane)] = (i8)q.q;
        if (lane == 0) scales[vector * SEGMENT + block] = q.scale;
        if (lane == 0 && !q.finite) set_bits(at_mut<u32>(p.failed) + at<u32>(p.row_of)[entries[vector]], 1);
    }
}

KERNEL(expand, ExpandParams, WARPS * 32) {
    SHARED(i8, codes, 8 * RANK);
    SHARED(float, scales, 8 * SEGMENT);
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
    const float* bias = gains ? at<float>(p.biases[projection]) : nullptr;
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, rows = p.rows[projection];
    Matrix m = {adapter + module.b_codes, adapter + module.b_scales, 0, 0, 0, module.b_layout, rows, module.b_blocks, 0};
    Vectors<1> x;
    x.codes[0] = codes + lane / 4 * 256;
    UNROLL for (u32 c = 0; c < 2; c++) {
        x.scales[0][c] = scales + (lane % 4 * 2 + c) * SEGMENT;
        x.weighted[0][c] = x.scales[0][c];
    }
    for (u32 chunk = 0; chunk < g.count; chunk += 8) {
        const u32* entries = at<u32>(p.entries) + g.first + chunk;
        u32 count = smaller(8, g.count - chunk);
        u64 u = p.u + ((u64)projection * p.u_plane + (u64)(g.first + chunk) * p.u_stride) * 4;
        float y[EACH][4] = {};
        for (u32 s = 0; s * SEGMENT < module.b_blocks; s++) {
            sync_block();
            quantize_ranks(p, module, u, entries, count, s, codes, scales);
            sync_block();
            UNROLL for (u32 e = 0; e < EACH; e++) {
                u32 tile = first + e * WARPS + warp;
                if (tile * TILE >= rows) continue;
                float acc[1][4];
                any_segment<1>(m, tile, s, lane, x, 0, acc);
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
