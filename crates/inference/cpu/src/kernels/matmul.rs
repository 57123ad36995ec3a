//! Sections 4 and 5: dot products of weight tiles with quantised activations.

use super::QBlock;
use crate::{
    packed::{Layout, Packed, Scale, Shape},
    simd::{LANES, Simd},
};
use std::ops::Range;

/// Where results go: `[token][row]`, rows contiguous.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) start: *mut f32,
    /// Floats from a token to the next, at least the weight's rows.
    pub(crate) stride: usize,
}

/// A linear layer, or some tiles of it, over some tokens.
#[derive(Clone, Debug)]
pub(crate) struct Matmul<'a> {
    pub(crate) weights: &'a Packed,
    pub(crate) tiles: Range<usize>,
    /// Activations, `[token][stride]`.
    pub(crate) x: *const QBlock,
    pub(crate) x_stride: usize,
    /// Which tokens, in `x` as in the output.
    pub(crate) tokens: &'a [u32],
    pub(crate) bias: Option<&'a [f32]>,
    /// Adds to what is there instead of replacing it.
    pub(crate) accumulate: bool,
    pub(crate) out: Output,
}

/// A layout as a type, so that each gets code of its own.
pub(super) trait Kind {
    const LAYOUT: Layout;
}

macro_rules! kinds {
    ($($name:ident)*) => {
        $(
            #[derive(Debug)]
            pub(super) struct $name;
            impl Kind for $name {
                const LAYOUT: Layout = Layout::$name;
            }
        )*
    };
}
kinds!(Four FourMin FourWide Five FiveWide Six Eight Float Key);

/// How far ahead a lone token's weights are fetched, in bytes.
const AHEAD: usize = 8 << 10;

/// Tokens and tiles whose sums live in registers together. Two tiles share each activation that is fetched.
const WIDE: usize = 4;
const PAIR: usize = 2;

/// Tokens that are run through all tiles before the next ones: their activations stay in the second cache, and so
/// do the tiles of a task.
const STRETCH: usize = 64;

/// # Safety
///
/// `S`'s features are present, the job's layout is `K`'s, its pointers are valid and its outputs its own.
#[inline(always)]
pub(super) unsafe fn run<S: Simd, K: Kind>(job: &Matmul<'_>) {
    for tokens in job.tokens.chunks(STRETCH) {
        let mut tile = job.tiles.start;
        // SAFETY: as this function's.
        unsafe {
            while tile + PAIR <= job.tiles.end && tokens.len() > 1 {
                over::<S, K, PAIR>(job, tile, tokens);
                tile += PAIR;
            }
            while tile < job.tiles.end {
                over::<S, K, 1>(job, tile, tokens);
                tile += 1;
            }
        }
    }
}

/// `N` tiles over all tokens of a stretch.
#[inline(always)]
unsafe fn over<S: Simd, K: Kind, const N: usize>(job: &Matmul<'_>, tile: usize, mut tokens: &[u32]) {
    // The first tokens fetch the next tiles while they run this one.
    let mut ahead = if tokens.len() > 1 { N * job.weights.shape.tile_bytes() } else { AHEAD };
    // SAFETY: as `run`.
    unsafe {
        while let Some((these, rest)) = tokens.split_first_chunk::<WIDE>() {
            step::<S, K, WIDE, N>(job, tile, these, ahead);
            (tokens, ahead) = (rest, 0);
        }
        if let Some((these, rest)) = tokens.split_first_chunk::<2>() {
            step::<S, K, 2, N>(job, tile, these, ahead);
            (tokens, ahead) = (rest, 0);
        }
        if let Some((these, _)) = tokens.split_first_chunk::<1>() {
            step::<S, K, 1, N>(job, tile, these, ahead);
        }
    }
}

/// `N` tiles over `T` tokens, and what is done with the sums.
#[inline(always)]
unsafe fn step<S: Simd, K: Kind, const T: usize, const N: usize>(
    job: &Matmul<'_>,
    tile: usize,
    tokens: &[u32; T],
    ahead: usize,
) {
    // SAFETY: as `run`: tokens index `x` and the output, the tiles are the weight's.
    unsafe {
        let x = tokens.map(|token| job.x.add(token as usize * job.x_stride));
        let tiles = std::array::from_fn(|n| job.weights.tile(tile + n));
        let sums = dots::<S, K, T, N>(&job.weights.shape, &tiles, &x, ahead);
        for n in 0..N {
            for t in 0..T {
                put::<S>(job, tile + n, tokens[t], sums[n][t]);
            }
        }
    }
}

/// Bias, what is there already, and the place.
#[inline(always)]
unsafe fn put<S: Simd>(job: &Matmul<'_>, tile: usize, token: u32, sum: S::F) {
    let first = tile * LANES;
    let lanes = LANES.min(job.weights.shape.rows - first);
    // SAFETY: as `step`.
    unsafe {
        let out = job.out.start.add(token as usize * job.out.stride + first);
        if lanes == LANES {
            return finish::<S>(job, sum, first, out, out);
        }
        let mut part = [0.0; LANES];
        std::ptr::copy_nonoverlapping(out, part.as_mut_ptr(), lanes);
        let mut bias = [0.0; LANES];
        if let Some(all) = job.bias {
            bias[..lanes].copy_from_slice(&all[first..first + lanes]);
        }
        let sum = if job.bias.is_some() { S::add(sum, S::load(bias.as_ptr())) } else { sum };
        let sum = if job.accumulate { S::add(S::load(part.as_ptr()), sum) } else { sum };
        S::store(part.as_mut_ptr(), sum);
        std::ptr::copy_nonoverlapping(part.as_ptr(), out, lanes);
    }
}

#[inline(always)]
unsafe fn finish<S: Simd>(job: &Matmul<'_>, sum: S::F, first: usize, from: *const f32, to: *mut f32) {
    // SAFETY: a whole tile of rows lies at `first`; pointers as `run`.
    unsafe {
        let sum = match job.bias {
            Some(bias) => S::add(sum, S::load(bias.as_ptr().add(first))),
            None => sum,
        };
        let sum = if job.accumulate { S::add(S::load(from), sum) } else { sum };
        S::store(to, sum);
    }
}

/// Section 4 for the sixteen rows of each of `N` tiles and `T` tokens.
///
/// # Safety
///
/// `S`'s features are present; `tiles` point to tiles of `shape`, of layout `K`, each of `x` to its blocks.
#[inline(always)]
pub(super) unsafe fn dots<S: Simd, K: Kind, const T: usize, const N: usize>(
    shape: &Shape,
    tiles: &[*const u8; N],
    x: &[*const QBlock; T],
    ahead: usize,
) -> [[S::F; T]; N] {
    // SAFETY: as this function's; block indices stay below the shape's.
    unsafe {
        let mut y = [[S::splat(0.0); T]; N];
        let stride = shape.tile_bytes() / shape.blocks;
        let mut b = 0;
        while b < shape.blocks {
            let end = shape.blocks.min(b + 8);
            let mut segment = [[S::splat(0.0); T]; N];
            while b < end {
                if ahead > 0 {
                    for tile in tiles {
                        let next = tile.add(b * stride).wrapping_add(ahead);
                        for line in 0..stride.div_ceil(64) {
                            S::prefetch(next.wrapping_add(line * 64));
                        }
                    }
                }
                let i = integer::<S, K, T, N>(shape, tiles, b, x);
                let d = tiles.map(|tile| scales::<S, K>(tile.add(shape.scales_at()), b));
                for t in 0..T {
                    let s = S::splat((*x[t].add(b)).scale);
                    for n in 0..N {
                        segment[n][t] = S::fma(S::mul(d[n], s), S::to_f(i[n][t]), segment[n][t]);
                    }
                }
                if K::LAYOUT.has_min() {
                    let m = tiles.map(|tile| scales::<S, K>(tile.add(shape.mins_at()), b));
                    for t in 0..T {
                        let weighted = S::splat((*x[t].add(b)).weighted);
                        for n in 0..N {
                            segment[n][t] = S::fma(m[n], weighted, segment[n][t]);
                        }
                    }
                }
                b += 1;
            }
            for n in 0..N {
                for t in 0..T {
                    y[n][t] = S::add(y[n][t], segment[n][t]);
                }
            }
        }
        y
    }
}

/// Σ q·a of one block.
#[inline(always)]
unsafe fn integer<S: Simd, K: Kind, const T: usize, const N: usize>(
    shape: &Shape,
    tiles: &[*const u8; N],
    b: usize,
    x: &[*const QBlock; T],
) -> [[S::I; T]; N] {
    // SAFETY: as `dots`; a QBlock begins with its 32 values, so group offsets below 8 stay inside.
    unsafe {
        let x = x.map(|x| x.add(b));
        if K::LAYOUT.nibbles() {
            let mut sums = [start::<S, K, T>(&x); N];
            for g in 0..4 {
                let codes = tiles.map(|tile| S::load_nibbles(tile.add((b * 4 + g) * 64)));
                for t in 0..T {
                    let (a, c) = (*x[t].cast::<i32>().add(g), *x[t].cast::<i32>().add(g + 4));
                    for n in 0..N {
                        sums[n][t] = S::dot_narrow(sums[n][t], codes[n].0, a);
                    }
                    for n in 0..N {
                        sums[n][t] = S::dot_narrow(sums[n][t], codes[n].1, c);
                    }
                }
            }
            return sums;
        }
        let groups = if matches!(K::LAYOUT, Layout::Float) { shape.groups } else { 8 };
        if K::LAYOUT.halves() {
            return tiles.map(|tile| halves::<S, T>(shape, tile, b, &x));
        }
        let mut sums = [start::<S, K, T>(&x); N];
        for g in 0..groups {
            let codes = tiles.map(|tile| S::load_codes(tile.add((b * groups + g) * 64)));
            for t in 0..T {
                let a = *x[t].cast::<i32>().add(g);
                for n in 0..N {
                    sums[n][t] = match K::LAYOUT.offset() {
                        128 => S::dot_wide(sums[n][t], codes[n], a),
                        _ => S::dot_narrow(sums[n][t], codes[n], a),
                    };
                }
            }
        }
        sums
    }
}

/// −offset · σ: takes back what the codes' offset will add.
#[inline(always)]
unsafe fn start<S: Simd, K: Kind, const T: usize>(x: &[*const QBlock; T]) -> [S::I; T] {
    let offset = match K::LAYOUT.offset() {
        128 if !S::WIDE_IS_OFFSET => 0,
        offset => offset,
    };
    std::array::from_fn(|t| {
        // SAFETY: as `dots`.
        unsafe {
            if offset == 0 {
                return S::splat_i(0);
            }
            let sums = &(*x[t]).sums;
            S::splat_i(-offset * (sums[0] + sums[1]))
        }
    })
}

/// Q6_K: each half has a scale of its own, applied in integers.
#[inline(always)]
unsafe fn halves<S: Simd, const T: usize>(
    shape: &Shape,
    tile: *const u8,
    b: usize,
    x: &[*const QBlock; T],
) -> [S::I; T] {
    // SAFETY: as `dots`.
    unsafe {
        let mut total = [S::splat_i(0); T];
        for half in 0..2 {
            let mut sums: [S::I; T] = std::array::from_fn(|t| S::splat_i(-32 * (*x[t]).sums[half]));
            for g in half * 4..half * 4 + 4 {
                let codes = S::load_codes(tile.add((b * 8 + g) * 64));
                for t in 0..T {
                    sums[t] = S::dot_narrow(sums[t], codes, *x[t].cast::<i32>().add(g));
                }
            }
            let scale = S::load_i8_i32(tile.add(shape.halves_at() + (b * 2 + half) * LANES).cast());
            for t in 0..T {
                total[t] = S::add_i(total[t], S::mul_i(scale, sums[t]));
            }
        }
        total
    }
}

#[inline(always)]
unsafe fn scales<S: Simd, K: Kind>(section: *const u8, b: usize) -> S::F {
    // SAFETY: as `dots`: each block has sixteen scales.
    unsafe {
        match K::LAYOUT.scale() {
            Scale::F16 => S::load_f16(section.cast::<u16>().add(b * LANES)),
            Scale::Bf16 => S::load_bf16(section.cast::<u16>().add(b * LANES)),
            Scale::F32 => S::load(section.cast::<f32>().add(b * LANES)),
        }
    }
}
