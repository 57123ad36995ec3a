// Attention of the fast tier over pages in bf16, both products on the tensor cores.
//
// Positions are cut in segments of 64. A warp takes a segment against eight queries: scores, the largest, e = exp(score − largest) in
// bf16, Σ e and Σ e·v. Segments are then put together, ascending, by
//   M' = max(M, m)   L = rn(L·exp(M − M') + l·exp(m − M'))   O likewise   out = O / L
// Decoding tokens share their segments out to warps and put them together afterwards; a prompt's warp goes along all of them. Both
// call the same function for a segment and put together alike, so both give the same bits.
#include "fast.cuh"
#include "profile.cuh"

enum : u32 { POSITIONS = 64, PAGE = 16, PAGES = POSITIONS / PAGE, MOST_WIDTH = 256, ROW = POSITIONS + 16 };

#define NEGATIVE_INFINITY of_bits(0xff800000u)

DEVICE float larger(float most, float value) { return value > most ? value : most; }

// Eight queries of a segment. Each lane takes codes of the query of column lane / 4, and has results of columns lane % 4 · 2 and the next.
struct Queries {
    const u16* codes;
    u32 last[2];  // what each sees, its own position included
    u32 end;      // the first position that is not there
};

DEVICE const u16* page_at(const AttendParams& p, u32 table, u32 position, u32 head) {
    u64 page = at<u32>(p.pages)[table + position / PAGE];
    return at<u16>(p.cache + page * p.page_bytes + p.layer_offset + (u64)head * p.head_bytes);
}

// e of each query in shared memory, zero where it does not look; the largest score and Σ e.
DEVICE void weigh(const AttendParams& p, u32 table, u32 head, u32 first, const Queries& q, u16* e, float (&most)[2], float (&total)[2]) {
    u32 lane = threadIdx.x % 32;
    float s[PAGES][4] = {};
    UNROLL for (u32 i = 0; i < PAGES; i++) {
        if (first + i * PAGE >= q.end) continue;
        const Words4* keys = reinterpret_cast<const Words4*>(page_at(p, table, first + i * PAGE, head)) + lane;
        for (u32 c = 0; c < p.width / 16; c++) {
            Words4 a = keys[c * 32];
            Words2 b = *reinterpret_cast<const Words2*>(q.codes + c * 16 + lane % 4 * 4);
            mma_brain(s[i], a.w, b.w[0], b.w[1]);
        }
    }
    most[0] = most[1] = NEGATIVE_INFINITY;
    UNROLL for (u32 i = 0; i < PAGES * 4; i++) {
        u32 position = first + i / 4 * PAGE + i % 4 / 2 * 8 + lane / 4, column = i % 2;
        float score = position <= q.last[column] ? mul_rn(s[i / 4][i % 4], p.scale) : NEGATIVE_INFINITY;
        s[i / 4][i % 4] = score;
        most[column] = larger(most[column], score);
    }
    UNROLL for (u32 c = 0; c < 2; c++) {
        UNROLL for (int mask = 16; mask >= 4; mask /= 2) {
            most[c] = larger(most[c], of_bits(exchange_xor(bits_of(most[c]), mask)));
        }
    }
    // Who read the last segment's is done.
    sync_warp();
    total[0] = total[1] = 0.0f;
    UNROLL for (u32 i = 0; i < PAGES * 4; i++) {
        u32 at_row = i / 4 * PAGE + i % 4 / 2 * 8 + lane / 4, column = i % 2;
        bool nothing = most[column] == NEGATIVE_INFINITY;
        u16 brain = to_brain(nothing ? 0.0f : exponential(sub_rn(s[i / 4][i % 4], most[column])));
        e[(lane % 4 * 2 + column) * ROW + at_row] = brain;
        total[column] = add_rn(total[column], of_brain(brain));
    }
    UNROLL for (u32 c = 0; c < 2; c++) {
        UNROLL for (int mask = 16; mask >= 4; mask /= 2) {
            total[c] = add_rn(total[c], of_bits(exchange_xor(bits_of(total[c]), mask)));
        }
    }
    sync_warp();
}

// Σ e·v of sixteen columns. What lies behind the end may be anything, so it is made zero.
DEVICE void gather(const AttendParams& p, u32 table, u32 head, u32 first, u32 end, u32 tile, const u16* e, float (&sum)[4]) {
    u32 lane = threadIdx.x % 32;
    UNROLL for (u32 i = 0; i < 4; i++) sum[i] = 0.0f;
    UNROLL for (u32 i = 0; i < PAGES; i++) {
        u32 start = first + i * PAGE;
        if (start >= end) continue;
        const u16* values = page_at(p, table, start, head) + PAGE * p.width;
        Words4 a = reinterpret_cast<const Words4*>(values)[tile * 32 + lane];
        UNROLL for (u32 j = 0; j < 4; j++) {
            u32 position = start + lane % 4 * 4 + j / 2 * 2;
            if (position >= end) {
                a.w[j] = 0;
            } else if (position + 1 >= end) {
                a.w[j] &= 0xffffu;
            }
        }
        Words2 b = *reinterpret_cast<const Words2*>(e + lane / 4 * ROW + i * PAGE + lane % 4 * 4);
        mma_brain(sum, a.w, b.w[0], b.w[1]);
    }
}

// What is so far is worth `old` of what is to come, a segment `fresh` of it.
DEVICE void weights_of(float& most, float segment, float& old, float& fresh) {
    float both = larger(most, segment);
    old = exponential(sub_rn(most, both));
    fresh = exponential(sub_rn(segment, both));
    most = both;
}
DEVICE float together(float so_far, float old, float segment, float fresh) {
    return add_rn(mul_rn(so_far, old), mul_rn(segment, fresh));
}

DEVICE void finish(const AttendParams& p, u32 token, u32 head, u32 column, float out) {
    u16 brain = to_brain(out);
    at_mut<u16>(p.codes + (u64)token * p.stride)[head * p.width + column] = brain;
    if (!is_finite(brain)) set_bits(at_mut<u32>(p.failed) + at<u32>(p.row_of)[token], 1);
}

// Tokens that decode. Grid: four segments, key head, token; a warp a segment, the query heads of the key head by eights.
KERNEL(fast_attend_split, AttendParams, 128) {
    SHARED(u16, room, 4 * 8 * ROW);
    if (blockIdx.z >= at<u32>(p.header)[SPLITS]) return;
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, segment = blockIdx.x * 4 + warp, first = segment * POSITIONS;
    u32 token = at<u32>(p.work)[blockIdx.z], last = at<u32>(p.positions)[token];
    if (first > last) return;
    u32 group = p.heads / p.kv_heads, table = at<u32>(p.table_of)[token];
    u16* e = room + warp * 8 * ROW;
    for (u32 g = 0; g < group; g += 8) {
        u32 taken = blockIdx.y * group + smaller(g + lane / 4, group - 1);
        Queries q = {at<u16>(p.queries) + ((u64)token * p.heads + taken) * p.width, {last, last}, last + 1};
        float most[2], total[2], sum[4];
        weigh(p, table, blockIdx.y, first, q, e, most, total);
        u64 rooms[2];
        UNROLL for (u32 c = 0; c < 2; c++) {
            u32 column = g + lane % 4 * 2 + c;
            rooms[c] = ((u64)blockIdx.z * p.heads + blockIdx.y * group + column) * p.segments + segment;
            if (lane >= 4 || column >= group) continue;
            at_mut<float>(p.most)[rooms[c]] = most[c];
            at_mut<float>(p.totals)[rooms[c]] = total[c];
        }
        for (u32 tile = 0; tile < p.width / 16; tile++) {
            gather(p, table, blockIdx.y, first, q.end, tile, e, sum);
            UNROLL for (u32 i = 0; i < 4; i++) {
                if (g + lane % 4 * 2 + i % 2 >= group) continue;
                at_mut<float>(p.sums)[rooms[i % 2] * p.width + tile * 16 + i / 2 * 8 + lane / 4] = sum[i];
            }
        }
    }
}

// The end of it: segments put together. Grid: query head, token.
KERNEL(fast_attend_combine, AttendParams, 128) {
    if (blockIdx.y >= at<u32>(p.header)[SPLITS]) return;
    u32 token = at<u32>(p.work)[blockIdx.y], head = blockIdx.x;
    u32 segments = at<u32>(p.positions)[token] / POSITIONS + 1;
    u64 room = ((u64)blockIdx.y * p.heads + head) * p.segments;
    for (u32 column = threadIdx.x; column < p.width; column += blockDim.x) {
        float most = NEGATIVE_INFINITY, total = 0.0f, out = 0.0f, old, fresh;
        for (u32 s = 0; s < segments; s++) {
            weights_of(most, at<float>(p.most)[room + s], old, fresh);
            total = together(total, old, at<float>(p.totals)[room + s], fresh);
            out = together(out, old, at<float>(p.sums)[(room + s) * p.width + column], fresh);
        }
        finish(p, token, head, column, div_rn(out, total));
    }
}

// Prompts. Grid: four tasks of up to eight tokens of a row, query head; a warp a task.
KERNEL(fast_attend_tile, AttendParams, 128) {
    SHARED(u16, room, 4 * 8 * ROW);
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, task = blockIdx.x * 4 + warp;
    if (task >= at<u32>(p.header)[TILES]) return;
    Words2 tokens = at<Words2>(p.work)[task];
    u32 token = tokens.w[0], count = tokens.w[1], head = blockIdx.y, key_head = head / (p.heads / p.kv_heads);
    u32 start = at<u32>(p.positions)[token], table = at<u32>(p.table_of)[token];
    u16* e = room + warp * 8 * ROW;
    Queries q;
    q.codes = at<u16>(p.queries) + ((u64)(token + smaller(lane / 4, count - 1)) * p.heads + head) * p.width;
    q.end = start + count;
    UNROLL for (u32 c = 0; c < 2; c++) q.last[c] = start + smaller(lane % 4 * 2 + c, count - 1);
    float most[2] = {NEGATIVE_INFINITY, NEGATIVE_INFINITY}, total[2] = {}, out[MOST_WIDTH / 16][4] = {};
    for (u32 first = 0; first < q.end; first += POSITIONS) {
        float here[2], sums[2], old[2], fresh[2];
        weigh(p, table, key_head, first, q, e, here, sums);
        UNROLL for (u32 c = 0; c < 2; c++) {
            weights_of(most[c], here[c], old[c], fresh[c]);
            total[c] = together(total[c], old[c], sums[c], fresh[c]);
        }
        UNROLL for (u32 tile = 0; tile < MOST_WIDTH / 16; tile++) {
            if (tile >= p.width / 16) continue;
            float sum[4];
            gather(p, table, key_head, first, q.end, tile, e, sum);
            UNROLL for (u32 i = 0; i < 4; i++) out[tile][i] = together(out[tile][i], old[i % 2], sum[i], fresh[i % 2]);
        }
    }
    UNROLL for (u32 tile = 0; tile < MOST_WIDTH / 16; tile++) {
        if (tile >= p.width / 16) continue;
        UNROLL for (u32 i = 0; i < 4; i++) {
            u32 column = lane % 4 * 2 + i % 2;
            if (column >= count) continue;
            finish(p, token + column, head, tile * 16 + i / 2 * 8 + lane / 4, div_rn(out[tile][i], total[i % 2]));
        }
    }
}
