// What the host tells each kernel. The same fields in the same order are written by crates/inference/cuda/src/launch/params.rs;
// addresses first, so that nothing is padded. A test compares every size and offset.
#pragma once
#include "intrinsics.cuh"

// Words of the metadata's header.
enum Header : u32 { TOKENS, WANTED, GROUPS, SPLITS, TILES, CHOICES, HEADER_WORDS = 8 };

// Packed forms; see linear.cuh, and fast.cuh for the last two.
enum Layout : u32 { FOUR, FOUR_MIN, FOUR_WIDE, BYTE, BYTE_WIDE, SIX, FLOAT, NARROW, BRAIN, EIGHT };

// The fast tier's kernels are told the same with other contents: `codes` are vectors in bf16 that lie plainly, `weighted` the same
// in e4m3 with `scales`, one for each 256 values; a matrix has chunks for blocks; queries and the cache are bf16; `most`, `totals`
// and `sums` are what attention found in each segment.

// A packed matrix: 16 rows a tile.
struct Matrix {
    u64 codes, scales, mins, halves;
    u64 bias;    // f32 by row, or 0
    u32 layout;  // Layout
    u32 rows, blocks;
    u32 column;  // where its rows begin in a row of the output
};

// A layer's change by an adapter, at the start of the adapter's memory, by layer and projection. Offsets from that start.
struct Module {
    u32 rank;  // 0: none
    u32 a_codes, a_scales, a_blocks;
    u32 b_codes, b_scales, b_blocks, b_layout;
    u32 gains, pad;  // DoRA: f32 by row, what each is scaled by; 0: none
};

// Tokens that one adapter changes: `count` entries from `first`.
struct Group {
    u32 adapter_low, adapter_high;
    u32 first, count;
};

struct EmbedParams {
    Matrix matrix;
    u64 header, ids, x;
    u32 width, pad;
};

struct NormParams {
    u64 header;
    u64 x, y;       // residual stream; what is added to it first, or 0
    u64 weight;
    u64 codes, scales, weighted;  // Q8 of the result, in fragment order
    u64 plain, plain_scales;      // the same in plain order, or 0
    u64 gather;                   // which token, or 0: every one
    u64 row_of, failed;
    u64 raw;  // the result in f32, or 0: for the self-test
    u32 count_word, width, stride, scale_stride;
    float eps;
    u32 pad;
};

struct LinearParams {
    Matrix matrices[3];
    u64 codes, scales, weighted;
    u64 out;
    u64 header, groups, entries, u;
    u64 scaled;  // by token: the address of a DoRA adapter, or 0; or 0, if no token has one
    u32 matrix_count, tiles, stride, scale_stride;
    u32 out_stride, count_word, layer, projection;
    u32 projections, group_bound, rank_tiles, u_stride;
    u32 u_plane, pad;
};

struct ExpandParams {
    u64 u, out, header, groups, entries, places, row_of, failed;
    u64 biases[3];  // for rows with gains: what the linear layer left out, or 0
    u32 rows[3], columns[3];
    u32 layer, projection, projections, place;
    u32 out_stride, u_stride, u_plane, pad;
};

struct RotateParams {
    u64 header, qkv, cos_sin, positions, slots, row_of, failed;
    u64 queries, query_scales;  // plain order
    u64 raw;                    // rotated queries and keys in f32, or 0
    u64 cache;
    u64 page_bytes, layer_offset;
    u32 heads, kv_heads, width, head_bytes;
};

struct AttendParams {
    u64 header;
    u64 work;  // split: tokens; tile: (first token, count)
    u64 positions, table_of, pages, row_of, failed;
    u64 queries, query_scales;
    u64 cache, page_bytes, layer_offset;
    u64 scores, most, sums, totals;
    u64 codes, scales, weighted;  // Q8 of the result, in fragment order
    u64 raw;                      // the result in f32, or 0
    u32 heads, kv_heads, width, head_bytes;
    u32 stride, scale_stride;
    u32 segments;  // room of the workspace, in segments
    float scale;   // 1/√width
};

struct ActivateParams {
    u64 header, gate_up, codes, scales, weighted, row_of, failed, raw;
    u32 width, in_stride, stride, scale_stride;
};

// How the token behind a wanted position is chosen.
struct Choice {
    u32 wanted;  // which of the wanted positions
    u32 top_k, top_p, min_p;
    u32 draw_low, draw_high;  // the position's random bits
    float temperature;        // 0: the first in order
    u32 pad;
};

// `logits` are scaled in place, and tokens that are out make way; `ids` says which is left where, a vocabulary for each choice.
struct ChooseParams {
    u64 header, choices, chosen, logits, ids;
    u32 vocab, pad;
};

// For the self-test: exp of each value, and Q8 of each block.
struct VectorParams {
    u64 x, codes, scales, weighted, failed;
    u32 count, pad;
};
