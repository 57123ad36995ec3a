// Which tile of which matrix a block multiplies with which vectors; the same in both tiers.
#pragma once
#include "params.cuh"

// Rows of a tile.
enum : u32 { TILE = 16 };

// What a block computes: a tile of a matrix against up to N · 8 vectors.
struct Job {
    Matrix matrix;
    u32 which;  // matrix of the launch
    u32 tile, count;
    const u32* entries;  // which vectors, or null: from `first` on
    u32 first;
    float* out;
    u32 out_stride;
};

// Blocks below p.tiles are the base model's; the rest are A of adapters, packed as `layout` says: u = A·x for each entry of each
// group.
DEVICE bool find_job(const LinearParams& p, u32 vectors, u32 layout, Job& job) {
    const u32* header = at<u32>(p.header);
    u32 index = blockIdx.x;
    if (index < p.tiles) {
        u32 which = 0, tiles = (p.matrices[0].rows + TILE - 1) / TILE;
        while (which + 1 < p.matrix_count && index >= tiles) {
            index -= tiles;
            which += 1;
            tiles = (p.matrices[which].rows + TILE - 1) / TILE;
        }
        job.matrix = p.matrices[which];
        job.which = which;
        job.tile = index;
        job.first = blockIdx.y * vectors;
        u32 all = header[p.count_word];
        if (job.first >= all) return false;
        job.count = smaller(vectors, all - job.first);
        job.entries = nullptr;
        job.out = at_mut<float>(p.out) + (u64)job.first * p.out_stride + job.matrix.column;
        job.out_stride = p.out_stride;
        return true;
    }
    index -= p.tiles;
    u32 group = index / (p.projections * p.rank_tiles), rest = index % (p.projections * p.rank_tiles);
    if (blockIdx.y > 0 || group >= header[GROUPS]) return false;
    u32 projection = rest / p.rank_tiles;
    Group g = at<Group>(p.groups)[group];
    u64 adapter = (u64)g.adapter_high << 32 | g.adapter_low;
    Module module = at<Module>(adapter)[p.layer * 7 + p.projection + projection];
    job.which = 0;
    job.tile = rest % p.rank_tiles;
    if (job.tile * TILE >= module.rank) return false;
    job.matrix = {adapter + module.a_codes, adapter + module.a_scales, 0, 0, 0, layout, module.rank, module.a_blocks, 0};
    job.entries = at<u32>(p.entries) + g.first;
    job.first = 0;
    job.count = g.count;
    job.out = at_mut<float>(p.u) + (u64)projection * p.u_plane + (u64)g.first * p.u_stride;
    job.out_stride = p.u_stride;
    return true;
}

DEVICE u32 vector_at(const Job& job, u32 index) {
    index = smaller(index, job.count - 1);
    return job.entries ? job.entries[index] : job.first + index;
}

// Whether a token's adapter scales what a matrix gives: then the bias comes after that, from `expand`.
DEVICE bool bias_waits(const LinearParams& p, u32 token, u32 which) {
    if (!p.scaled) return false;
    u64 adapter = at<u64>(p.scaled)[token];
    return adapter && at<Module>(adapter)[p.layer * 7 + p.projection + which].gains;
}

// Result `i` of a lane: its row in the tile, its vector among the N · 8.
DEVICE u32 row_of_result(u32 i, u32 lane) { return lane / 4 + i % 4 / 2 * 8; }
DEVICE u32 vector_of_result(u32 i, u32 lane) { return i / 4 * 8 + lane % 4 * 2 + i % 2; }
