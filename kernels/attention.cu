// Section 10: attention over the paged int8 cache in two passes, no online rescaling.
//
// Two ways to the same bits. Split, for tokens that decode: a block for each segment of 64 positions, first all scores and
// each segment's largest, then each segment's sums from zero, then the segments in order. Tiled, for prompts: a block keeps up to
// eight tokens of a row and goes over all positions twice.
#include "params.cuh"
#include "profile.cuh"

enum : u32 { POSITIONS = 64, PAGE = 16, MOST_GROUP = 32, MOST_WIDTH = 256 };

// Where a position's keys, or values, and their scales lie.
struct Slot {
    const i8* codes;
    const float* scales;
};

DEVICE Slot slot(const AttendParams& p, u32 table, u32 head, u32 position, bool value) {
    u32 page = at<u32>(p.pages)[table + position / PAGE], at_page = position % PAGE;
    u64 part = p.cache + page * p.page_bytes + p.layer_offset + (u64)head * p.head_bytes;
    return {at<i8>(part) + (value ? PAGE * p.width : 0u) + at_page * p.width,
            at<float>(part + 2 * PAGE * p.width) + ((value ? 16u : 0u) + at_page) * (p.width / 32)};
}

// rn(dot(K, Q8(q)) · 1/√d).
DEVICE float score(const AttendParams& p, const Slot& key, const i8* query, const float* query_scales) {
    float y = 0.0f, acc = 0.0f;
    for (u32 block = 0; block < p.width / 32; block++) {
        int dot = 0;
        UNROLL for (u32 i = 0; i < 2; i++) {
            Words4 k = reinterpret_cast<const Words4*>(key.codes + block * 32)[i];
            Words4 q = reinterpret_cast<const Words4*>(query + block * 32)[i];
            UNROLL for (u32 j = 0; j < 4; j++) dot = dot4(k.w[j], q.w[j], dot);
        }
        acc = fma_rn(mul_rn(key.scales[block], query_scales[block]), from_int(dot), acc);
        if (block % 8 == 7 || block + 1 == p.width / 32) {
            y = add_rn(y, acc);
            acc = 0.0f;
        }
    }
    return mul_rn(y, p.scale);
}

// rn(s · q) of a column.
DEVICE float value_of(const Slot& value, u32 column) {
    return mul_rn(value.scales[column / 32], from_int(value.codes[column]));
}

DEVICE float larger(float most, float value) { return value > most ? value : most; }

#define NEGATIVE_INFINITY of_bits(0xff800000u)

// Split, first pass. Grid: segment, key head, token. A warp goes over the query heads of its key head in turn.
KERNEL(attend_scores, AttendParams, 128) {
    if (blockIdx.z >= at<u32>(p.header)[SPLITS]) return;
    u32 token = at<u32>(p.work)[blockIdx.z], last = at<u32>(p.positions)[token], first = blockIdx.x * POSITIONS;
    if (first > last) return;
    u32 group = p.heads / p.kv_heads, lane = threadIdx.x % 32, table = at<u32>(p.table_of)[token];
    for (u32 g = threadIdx.x / 32; g < group; g += blockDim.x / 32) {
        u32 head = blockIdx.y * group + g;
        const i8* query = at<i8>(p.queries) + ((u64)token * p.heads + head) * p.width;
        const float* scales = at<float>(p.query_scales) + ((u64)token * p.heads + head) * (p.width / 32);
        u64 room = ((u64)blockIdx.z * p.heads + head) * p.segments + blockIdx.x;
        float most = NEGATIVE_INFINITY;
        for (u32 j = lane; j < POSITIONS && first + j <= last; j += 32) {
            float value = score(p, slot(p, table, blockIdx.y, first + j, false), query, scales);
            at_mut<float>(p.scores)[room * POSITIONS + j] = value;
            most = larger(most, value);
        }
        UNROLL for (int mask = 16; mask > 0; mask /= 2) most = larger(most, of_bits(exchange_xor(bits_of(most), mask)));
        if (lane == 0) at_mut<float>(p.most)[room] = most;
    }
}

// Split, second pass. Grid as before; a thread goes along one column for all query heads of the key head.
KERNEL(attend_values, AttendParams, 128) {
    SHARED(float, e, MOST_GROUP * POSITIONS);
    if (blockIdx.z >= at<u32>(p.header)[SPLITS]) return;
    u32 token = at<u32>(p.work)[blockIdx.z], last = at<u32>(p.positions)[token], first = blockIdx.x * POSITIONS;
    if (first > last) return;
    u32 group = p.heads / p.kv_heads, lane = threadIdx.x % 32, table = at<u32>(p.table_of)[token];
    u32 count = smaller(POSITIONS, last + 1 - first), segments = last / POSITIONS + 1;
    u64 room = ((u64)blockIdx.z * p.heads + blockIdx.y * group) * p.segments;
    for (u32 g = threadIdx.x / 32; g < group; g += blockDim.x / 32) {
        float most = NEGATIVE_INFINITY;
        for (u32 s = lane; s < segments; s += 32) most = larger(most, at<float>(p.most)[room + g * p.segments + s]);
        UNROLL for (int mask = 16; mask > 0; mask /= 2) most = larger(most, of_bits(exchange_xor(bits_of(most), mask)));
        const float* scores = at<float>(p.scores) + (room + g * p.segments + blockIdx.x) * POSITIONS;
        for (u32 j = lane; j < count; j += 32) e[g * POSITIONS + j] = exponential(sub_rn(scores[j], most));
    }
    sync_block();
    for (u32 g = threadIdx.x; g < group; g += blockDim.x) {
        float total = 0.0f;
        for (u32 j = 0; j < count; j++) total = add_rn(total, e[g * POSITIONS + j]);
        at_mut<float>(p.totals)[room + g * p.segments + blockIdx.x] = total;
    }
    for (u32 column = threadIdx.x; column < p.width; column += blockDim.x) {
        // Four query heads at a time share each value read.
        for (u32 g = 0; g < group; g += 4) {
            float sum[4] = {};
            for (u32 j = 0; j < count; j++) {
                float v = value_of(slot(p, table, blockIdx.y, first + j, true), column);
                UNROLL for (u32 i = 0; i < 4; i++) {
                    if (g + i < group) sum[i] = fma_rn(e[(g + i) * POSITIONS + j], v, sum[i]);
                }
            }
            UNROLL for (u32 i = 0; i < 4; i++) {
                if (g + i >= group) continue;
                at_mut<float>(p.sums)[(room + (g + i) * p.segments + blockIdx.x) * p.width + column] = sum[i];
            }
        }
    }
}

DEVICE void finish(const AttendParams& p, u32 token, u32 head, u32 column, float out, u32 lane) {
    if (p.raw) at_mut<float>(p.raw)[((u64)token * p.heads + head) * p.width + column + lane] = out;
    Quantized q = quantize(out);
    u64 offset = (u64)token * p.scale_stride;
    store(q, (head * p.width + column) / 32, lane, at_mut<i8>(p.codes) + (u64)token * p.stride,
          at_mut<float>(p.scales) + offset, at_mut<float>(p.weighted) + offset);
    if (!q.finite && lane == 0) set_bits(at_mut<u32>(p.failed) + at<u32>(p.row_of)[token], 1);
}

// Split, the end: segments in order, the quotient, Q8. Grid: query head, token; a warp takes 32 columns at a time.
KERNEL(attend_combine, AttendParams, 128) {
    if (blockIdx.y >= at<u32>(p.header)[SPLITS]) return;
    u32 token = at<u32>(p.work)[blockIdx.y], head = blockIdx.x, lane = threadIdx.x % 32;
    u32 segments = at<u32>(p.positions)[token] / POSITIONS + 1;
    u64 room = ((u64)blockIdx.y * p.heads + head) * p.segments;
    for (u32 column = threadIdx.x; column < p.width; column += blockDim.x) {
        float out = 0.0f, total = 0.0f;
        for (u32 s = 0; s < segments; s++) {
            out = add_rn(out, at<float>(p.sums)[(room + s) * p.width + column]);
            total = add_rn(total, at<float>(p.totals)[room + s]);
        }
        finish(p, token, head, column - lane, div_rn(out, total), lane);
    }
}

// Tiled. Grid: task of up to eight tokens of one row, query head.
enum : u32 { TOKENS_EACH = 8, COLUMNS_EACH = MOST_WIDTH / 128 };

DEVICE void tile_scores(const AttendParams& p, u32 token, u32 count, u32 table, u32 head, u32 first, float* scores) {
    u32 start = at<u32>(p.positions)[token];
    for (u32 i = threadIdx.x; i < count * POSITIONS; i += blockDim.x) {
        u32 t = i / POSITIONS, j = first + i % POSITIONS;
        if (j > start + t) continue;
        u64 query = (u64)(token + t) * p.heads + head;
        scores[i] = score(p, slot(p, table, head / (p.heads / p.kv_heads), j, false), at<i8>(p.queries) + query * p.width,
                          at<float>(p.query_scales) + query * (p.width / 32));
    }
}

KERNEL(attend_tile, AttendParams, 128) {
    SHARED(float, e, TOKENS_EACH * POSITIONS);
    SHARED(float, most, TOKENS_EACH);
    if (blockIdx.x >= at<u32>(p.header)[TILES]) return;
    Words2 task = at<Words2>(p.work)[blockIdx.x];
    u32 token = task.w[0], count = task.w[1], head = blockIdx.y, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    u32 start = at<u32>(p.positions)[token], end = start + count, table = at<u32>(p.table_of)[token];
    // First pass: the largest score of each token; a warp has every fourth.
    float largest[TOKENS_EACH / 4] = {NEGATIVE_INFINITY, NEGATIVE_INFINITY};
    for (u32 first = 0; first < end; first += POSITIONS) {
        tile_scores(p, token, count, table, head, first, e);
        sync_block();
        UNROLL for (u32 i = 0; i < TOKENS_EACH / 4; i++) {
            u32 t = warp + i * 4;
            for (u32 j = lane; t < count && j < POSITIONS && first + j <= start + t; j += 32) {
                largest[i] = larger(largest[i], e[t * POSITIONS + j]);
            }
        }
        sync_block();
    }
    UNROLL for (u32 i = 0; i < TOKENS_EACH / 4; i++) {
        UNROLL for (int mask = 16; mask > 0; mask /= 2) {
            largest[i] = larger(largest[i], of_bits(exchange_xor(bits_of(largest[i]), mask)));
        }
        if (lane == 0) most[warp + i * 4] = largest[i];
    }
    // Second pass: segment sums from zero, segments in order.
    float out[TOKENS_EACH][COLUMNS_EACH] = {}, total[TOKENS_EACH] = {};
    for (u32 first = 0; first < end; first += POSITIONS) {
        sync_block();
        tile_scores(p, token, count, table, head, first, e);
        sync_block();
        for (u32 i = threadIdx.x; i < count * POSITIONS; i += blockDim.x) {
            if (first + i % POSITIONS <= start + i / POSITIONS) e[i] = exponential(sub_rn(e[i], most[i / POSITIONS]));
        }
        sync_block();
        float sum[TOKENS_EACH][COLUMNS_EACH] = {}, norm[TOKENS_EACH] = {};
        for (u32 j = 0; j < smaller(POSITIONS, end - first); j++) {
            Slot value = slot(p, table, head / (p.heads / p.kv_heads), first + j, true);
            float v[COLUMNS_EACH] = {};
            UNROLL for (u32 c = 0; c < COLUMNS_EACH; c++) {
                if (c * 128 + threadIdx.x < p.width) v[c] = value_of(value, c * 128 + threadIdx.x);
            }
            UNROLL for (u32 t = 0; t < TOKENS_EACH; t++) {
                if (t >= count || first + j > start + t) continue;
                float weight = e[t * POSITIONS + j];
                norm[t] = add_rn(norm[t], weight);
                UNROLL for (u32 c = 0; c < COLUMNS_EACH; c++) sum[t][c] = fma_rn(weight, v[c], sum[t][c]);
            }
        }
        UNROLL for (u32 t = 0; t < TOKENS_EACH; t++) {
            if (t >= count || first > start + t) continue;
            total[t] = add_rn(total[t], norm[t]);
            UNROLL for (u32 c = 0; c < COLUMNS_EACH; c++) out[t][c] = add_rn(out[t][c], sum[t][c]);
        }
    }
    UNROLL for (u32 t = 0; t < TOKENS_EACH; t++) {
        UNROLL for (u32 c = 0; c < COLUMNS_EACH; c++) {
            u32 column = c * 128 + warp * 32;
            if (t < count && column < p.width) finish(p, token + t, head, column, div_rn(out[t][c], total[t]), lane);
        }
    }
}
