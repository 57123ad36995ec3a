// The fast tier's products: bf16, or e4m3 with a scale for each row, on the tensor cores, summed in f32 in one order whatever
// else is in the step.
//
// A row is cut in chunks of 32 bytes, sixteen values in bf16 and thirty-two in e4m3, each one matrix product of sixteen rows with
// eight vectors. Segments of 256 values: a chain of products from +0; then y = y + segment, ascending. So a result is the same
// from each kernel below, as long as a column of a matrix product does not depend on the other columns.
//
//   codes   [tile][chunk][lane][4 words]   lane = row % 8 · 4 + byte % 32 / 8
//           words: row, row + 8 at the first four of a lane's eight bytes; row, row + 8 at the others
//   scales  e4m3: f32 by row
//
// Which of a product's k is called which does not matter, so a lane takes eight bytes that lie together, of weights and vectors
// alike, and vectors lie plainly.
#pragma once
#include "jobs.cuh"

enum : u32 { SPAN = 256, CHUNK = 32 };

// Chunks of a segment.
DEVICE u32 chunks_of(u32 layout) { return layout == EIGHT ? SPAN / 32 : SPAN / 16; }

// Where value `k` of a row lies in its tile, in values of two bytes.
DEVICE u32 brain_place(u32 row, u32 k) {
    return (k / 16 * 32 + row % 8 * 4 + k % 16 / 4) * 8 + (k % 4 / 2 * 2 + row / 8) * 2 + k % 2;
}

// Where segment `s` of a tile begins for a lane, and how many chunks it has.
DEVICE const Words4* weights_at(const Matrix& m, u32 tile, u32 s, u32 lane, u32 each) {
    return at<Words4>(m.codes) + ((u64)tile * m.blocks + s * each) * 32 + lane;
}
DEVICE u32 chunks_from(const Matrix& m, u32 s, u32 each) { return smaller(each, m.blocks - s * each); }

// `C` chunks from `first` on, of which there are `some` in all: on their way together.
template <u32 C>
DEVICE void load(Words4 (&a)[C], const Words4* weights, u32 first, u32 some) {
    UNROLL for (u32 c = 0; c < C; c++) {
        if (first + c < some) a[c] = weights[(first + c) * 32];
    }
}

// acc += those chunks times N · 8 vectors. `x` is where each lane's bytes of them begin.
template <bool E, u32 C, u32 N>
DEVICE void multiply(const Words4 (&a)[C], const u8* const (&x)[N], u32 first, u32 some, float (&acc)[N][4]) {
    UNROLL for (u32 c = 0; c < C; c++) {
        if (first + c >= some) continue;
        UNROLL for (u32 n = 0; n < N; n++) {
            Words2 b = *reinterpret_cast<const Words2*>(x[n] + (first + c) * CHUNK);
            if (E) {
                mma_eight(acc[n], a[c].w, b.w[0], b.w[1]);
            } else {
                mma_brain(acc[n], a[c].w, b.w[0], b.w[1]);
            }
        }
    }
}

// Segment `s` of a tile times N · 8 vectors: acc, from +0; eight chunks at a time.
template <bool E, u32 N>
DEVICE void chain(const Matrix& m, u32 tile, u32 s, u32 lane, const u8* const (&x)[N], float (&acc)[N][4]) {
    constexpr u32 C = E ? SPAN / 32 : SPAN / 16;
    const Words4* weights = weights_at(m, tile, s, lane, C);
    u32 some = chunks_from(m, s, C);
    UNROLL for (u32 n = 0; n < N; n++) {
        UNROLL for (u32 i = 0; i < 4; i++) acc[n][i] = 0.0f;
    }
    UNROLL for (u32 first = 0; first < C; first += 8) {
        Words4 a[8] = {};
        load<8>(a, weights, first, some);
        multiply<E, 8, N>(a, x, first, some, acc);
    }
}

// What a chain over e4m3 is worth: by vector and segment.
template <u32 N>
DEVICE void scale_chain(const LinearParams& p, const u32 (&vectors)[N][2], u32 s, float (&acc)[N][4]) {
    UNROLL for (u32 n = 0; n < N; n++) {
        UNROLL for (u32 i = 0; i < 4; i++) {
            acc[n][i] = mul_rn(acc[n][i], at<float>(p.scales)[(u64)vectors[n][i % 2] * p.scale_stride + s]);
        }
    }
}

DEVICE float with_bias(const LinearParams& p, float value, const Matrix& m, u32 row, u32 token, u32 which) {
    if (m.layout == EIGHT) value = mul_rn(value, at<float>(m.scales)[row]);
    bool biased = m.bias && !bias_waits(p, token, which);
    return biased ? add_rn(value, at<float>(m.bias)[row]) : value;
}

// Few vectors: a block has a tile, its warps every so many segments of it. `E`: whether the launch may have e4m3.
enum : u32 { WARPS = 8 };

template <bool E, u32 N>
DEVICE void few(const LinearParams& p, float* parts, float* y) {
    Job job;
    if (!find_job(p, N * 8, BRAIN, job)) return;
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    bool eight = E && job.matrix.layout == EIGHT;
    const u8* x[N];
    u32 vectors[N][2];
    UNROLL for (u32 n = 0; n < N; n++) {
        u64 vector = vector_at(job, n * 8 + lane / 4);
        x[n] = (eight ? at<u8>(p.weighted) + vector * (p.stride / 2) : at<u8>(p.codes) + vector * p.stride) + lane % 4 * 8;
        UNROLL for (u32 c = 0; c < 2; c++) vectors[n][c] = vector_at(job, n * 8 + lane % 4 * 2 + c);
    }
    u32 each = chunks_of(job.matrix.layout), segments = (job.matrix.blocks + each - 1) / each;
    for (u32 e = threadIdx.x; e < N * 128; e += blockDim.x) y[e] = 0.0f;
    for (u32 base = 0, turn = 0; base < segments; base += warps, turn ^= 1) {
        // Two sets of parts in turn: who is still adding reads one, who goes on writes the other.
        float* mine = parts + turn * WARPS * N * 128;
        u32 s = base + warp;
        if (s < segments) {
            float acc[N][4];
            const u8* here[N];
            UNROLL for (u32 n = 0; n < N; n++) here[n] = x[n] + s * each * CHUNK;
            if (eight) {
                chain<true, N>(job.matrix, job.tile, s, lane, here, acc);
                scale_chain<N>(p, vectors, s, acc);
            } else {
                chain<false, N>(job.matrix, job.tile, s, lane, here, acc);
            }
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
    for (u32 e = threadIdx.x; e < N * 128; e += blockDim.x) {
        u32 row = job.tile * TILE + row_of_result(e / 32, e % 32), vector = vector_of_result(e / 32, e % 32);
        if (row >= job.matrix.rows || vector >= job.count) continue;
        float value = with_bias(p, y[e], job.matrix, row, job.first + vector, job.which);
        job.out[(u64)vector * job.out_stride + row] = value;
    }
}

// Many vectors: a warp has a tile of its own, a block as many tiles as warps and 64 vectors, of which a segment at a time is in
// shared memory, each row 32 bytes on from a multiple of 128, so that four rows are on banks of their own. A segment's weights
// are on their way while the vectors are.
enum : u32 { WIDE = 8, ROOM = SPAN * 2 + 32 };

template <bool E>
DEVICE void many(const LinearParams& p, u8* room) {
    u32 lane = threadIdx.x % 32, tile = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
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
    // All matrices of a launch have the same inputs in the same form.
    bool eight = E && m.layout == EIGHT;
    u32 each = chunks_of(p.matrices[0].layout), chunks = p.matrices[0].blocks, line = each * CHUNK + 32;
    u64 stride = eight ? p.stride / 2 : p.stride;
    const u8* from = eight ? at<u8>(p.weighted) : at<u8>(p.codes);
    const u8* x[WIDE];
    u32 vectors[WIDE][2];
    UNROLL for (u32 n = 0; n < WIDE; n++) {
        x[n] = room + (n * 8 + lane / 4) * line + lane % 4 * 8;
        UNROLL for (u32 c = 0; c < 2; c++) vectors[n][c] = first + smaller(n * 8 + lane % 4 * 2 + c, count - 1);
    }
    float y[WIDE][4] = {};
    for (u32 s = 0; s * each < chunks; s++) {
        Words4 a[SPAN / 16] = {};
        u32 some = chunks_from(m, s, each);
        if (busy) load<SPAN / 16>(a, weights_at(m, tile, s, lane, each), 0, some);
        sync_block();
        u32 words = smaller(each, chunks - s * each) * (CHUNK / 16);
        for (u32 i = threadIdx.x; i < WIDE * 8 * words; i += blockDim.x) {
            u64 vector = first + smaller(i / words, count - 1);
            const Words4* source = reinterpret_cast<const Words4*>(from + vector * stride + s * each * CHUNK);
            reinterpret_cast<Words4*>(room + i / words * line)[i % words] = source[i % words];
        }
        sync_block();
        if (!busy) continue;
        float acc[WIDE][4] = {};
        if (eight) {
            multiply<true, SPAN / 16, WIDE>(a, x, 0, some, acc);
            scale_chain<WIDE>(p, vectors, s, acc);
        } else {
            multiply<false, SPAN / 16, WIDE>(a, x, 0, some, acc);
        }
        UNROLL for (u32 i = 0; i < WIDE * 4; i++) y[i / 4][i % 4] = add_rn(y[i / 4][i % 4], acc[i / 4][i % 4]);
    }
    if (!busy) return;
    UNROLL for (u32 i = 0; i < WIDE * 4; i++) {
        u32 row = tile * TILE + row_of_result(i, lane), vector = vector_of_result(i, lane);
        if (row >= m.rows || vector >= count) continue;
        float value = with_bias(p, y[i / 4][i % 4], m, row, first + vector, which);
        at_mut<float>(p.out)[(u64)(first + vector) * p.out_stride + m.column + row] = value;
    }
}

#define FEW(name, E, N)                                                                                                \
    KERNEL(name, LinearParams, WARPS * 32) {                                                                           \
        SHARED(float, parts, 2 * WARPS * N * 128);                                                                     \
        SHARED(float, y, N * 128);                                                                                     \
        few<E, N>(p, parts, y);                                                                                        \
    }
#define MANY(name, E)                                                                                                  \
    KERNEL(name, LinearParams, WARPS * 32) {                                                                           \
        SHARED(u8, room, WIDE * 8 * ROOM);                                                                             \
        many<E>(p, room);                                                                                              \
    }
