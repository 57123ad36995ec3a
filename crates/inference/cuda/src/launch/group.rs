//! A linear layer with its adapters: base rows and A in one launch, B in one for each place of the compositions.

use super::{
    Kernel, Launch,
    params::{ExpandParams, LinearParams, Matrix},
};
use crate::{
    pack::{Layout, TILE},
    plan::Bucket,
};

/// Threads of a block, at most.
const WARPS: u32 = 8;
/// Tiles that a block of `expand` has, for each of its warps.
const EACH: u32 = 4;
/// Row tiles of a block of `linear_wide`, a warp each.
const WIDE_TILES: u32 = 8;
/// Vectors of a block of `linear_wide`.
const WIDE_VECTORS: u32 = 64;

/// Matrices with the same inputs, whose outputs lie side by side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linears<'a> {
    pub(crate) matrices: &'a [Matrix],
    pub(crate) layer: u32,
    /// The first projection, in the order of `Projection::ALL`; none for the head, which adapters do not change.
    pub(crate) projection: Option<u32>,
    pub(crate) codes: u64,
    pub(crate) scales: u64,
    pub(crate) weighted: u64,
    pub(crate) out: u64,
    pub(crate) out_stride: u32,
    /// How many vectors there may be, and the header's word that says how many there are.
    pub(crate) vectors: u32,
    pub(crate) count_word: u32,
}

/// Where a step's adapters are written down, and their workspace.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Adapters {
    pub(crate) header: u64,
    pub(crate) groups: u64,
    pub(crate) entries: u64,
    pub(crate) places: u64,
    pub(crate) row_of: u64,
    pub(crate) failed: u64,
    pub(crate) u: u64,
    /// DoRA adapters by token; 0 if there are none.
    pub(crate) scaled: u64,
}

impl Linears<'_> {
    fn tiles(&self) -> u32 {
        self.matrices.iter().map(|matrix| matrix.rows.div_ceil(TILE as u32)).sum()
    }

    /// Bytes from one vector to the next, and how many scales.
    const fn strides(&self) -> (u32, u32) {
        let Matrix { layout, blocks, .. } = self.matrices[0];
        if layout == BRAIN {
            (blocks * 32, blocks.div_ceil(16))
        } else if layout == EIGHT {
            (blocks * 64, blocks.div_ceil(8))
        } else {
            (blocks.div_ceil(8) * 256, blocks.div_ceil(8) * 8)
        }
    }

    /// Threads of a block of one tile: a warp for each segment of 256 values, as far as a block has them.
    fn threads(&self) -> u32 {
        let (_, scales) = self.strides();
        let fast = self.matrices[0].layout >= BRAIN;
        let segments = if fast { scales } else { scales / 8 };
        32 * segments.clamp(1, WARPS)
    }

    fn params(&self, adapters: &Adapters, bucket: &Bucket) -> LinearParams {
        let mut matrices = [Matrix::default(); 3];
        matrices[..self.matrices.len()].copy_from_slice(self.matrices);
        let (stride, scale_stride) = self.strides();
        let ranks = bucket.rank_tiles * TILE as u32;
        LinearParams {
            matrices,
            codes: self.codes,
            scales: self.scales,
            weighted: self.weighted,
            out: self.out,
            header: adapters.header,
            groups: adapters.groups,
            entries: adapters.entries,
            u: adapters.u,
            scaled: if self.projection.is_some() { adapters.scaled } else { 0 },
            matrix_count: self.matrices.len() as u32,
            tiles: self.tiles(),
            stride,
            scale_stride,
            out_stride: self.out_stride,
            count_word: self.count_word,
            layer: self.layer,
            projection: self.projection.unwrap_or(0),
            projections: self.matrices.len() as u32,
            group_bound: if self.projection.is_some() { bucket.groups } else { 0 },
            rank_tiles: bucket.rank_tiles,
            u_stride: ranks,
            u_plane: ranks * bucket.entries(),
            pad: 0,
        }
    }

    /// The launches, in order.
    pub(crate) fn push(&self, adapters: &Adapters, bucket: &Bucket, out: &mut Vec<Launch>) {
        let params = self.params(adapters, bucket);
        let shrinks = params.group_bound * params.projections * params.rank_tiles;
        if Bucket::is_wide(self.vectors) {
            // Of one block of vectors there are few blocks: half as large, they reach more of the device.
            let fast = self.matrices[0].layout >= BRAIN;
            let tiles = if fast && self.vectors <= WIDE_VECTORS { WIDE_TILES / 2 } else { WIDE_TILES };
            let grid = [params.tiles.div_ceil(tiles), self.vectors.div_ceil(WIDE_VECTORS), 1];
            out.push(Launch {
                kernel: linear_wide(params.matrices[0].layout),
                grid,
                threads: 32 * tiles,
                params: params.bytes(),
            });
            self.shrink(adapters, bucket, out);
        } else {
            let eights = Bucket::eights(self.vectors);
            let grid = [params.tiles + shrinks, self.vectors.div_ceil(eights * 8), 1];
            out.push(Launch {
                kernel: linear(eights, params.matrices[0].layout),
                grid,
                threads: self.threads(),
                params: params.bytes(),
            });
        }
        self.expands(adapters, bucket, out);
    }

    /// A of the adapters, in a launch of their own.
    pub(crate) fn shrink(&self, adapters: &Adapters, bucket: &Bucket, out: &mut Vec<Launch>) {
        let params = LinearParams { tiles: 0, ..self.params(adapters, bucket) };
        let shrinks = params.group_bound * params.projections * params.rank_tiles;
        if shrinks > 0 {
            let kernel = linear(Bucket::eights(self.vectors), params.matrices[0].layout);
            out.push(Launch {
                kernel,
                grid: [shrinks, 1, 1],
                threads: self.threads(),
                params: params.bytes(),
            });
        }
    }

    /// B of the adapters, place after place.
    pub(crate) fn expands(&self, adapters: &Adapters, bucket: &Bucket, out: &mut Vec<Launch>) {
        let params = self.params(adapters, bucket);
        if params.group_bound > 0 {
            (0..bucket.places).for_each(|place| self.expand(&params, adapters, place, out));
        }
    }

    fn expand(&self, linear: &LinearParams, adapters: &Adapters, place: u32, out: &mut Vec<Launch>) {
        let (mut rows, mut columns, mut biases) = ([0; 3], [0; 3], [0; 3]);
        for (index, matrix) in self.matrices.iter().enumerate() {
            (rows[index], columns[index], biases[index]) = (matrix.rows, matrix.column, matrix.bias);
        }
        let blocks = rows.iter().map(|rows| rows.div_ceil(TILE as u32 * WARPS * EACH)).sum();
        let params = ExpandParams {
            u: adapters.u,
            out: self.out,
            header: adapters.header,
            groups: adapters.groups,
            entries: adapters.entries,
            places: adapters.places,
            row_of: adapters.row_of,
            failed: adapters.failed,
            biases,
            rows,
            columns,
            layer: linear.layer,
            projection: linear.projection,
            projections: linear.projections,
            place,
            out_stride: linear.out_stride,
            u_stride: linear.u_stride,
            u_plane: linear.u_plane,
            pad: 0,
        };
        let grid = [blocks, linear.group_bound, 1];
        let fast = linear.matrices[0].layout >= BRAIN;
        let kernel = if fast { Kernel::FastExpand } else { Kernel::Expand };
        out.push(Launch { kernel, grid, threads: 32 * WARPS, params: params.bytes() });
    }
}

const BRAIN: u32 = Layout::Brain as u32;
const EIGHT: u32 = Layout::Eight as u32;

const fn linear(eights: u32, layout: u32) -> Kernel {
    match (layout, eights) {
        (BRAIN, 1) => Kernel::FastLinear1,
        (BRAIN, 2) => Kernel::FastLinear2,
        (BRAIN, _) => Kernel::FastLinear4,
        (EIGHT, 1) => Kernel::Fast8Linear1,
        (EIGHT, 2) => Kernel::Fast8Linear2,
        (EIGHT, _) => Kernel::Fast8Linear4,
        (_, 1) => Kernel::Linear1,
        (_, 2) => Kernel::Linear2,
        _ => Kernel::Linear4,
    }
}

const fn linear_wide(layout: u32) -> Kernel {
    match layout {
        BRAIN => Kernel::FastLinearWide,
        EIGHT => Kernel::Fast8LinearWide,
        _ => Kernel::LinearWide,
    }
}
