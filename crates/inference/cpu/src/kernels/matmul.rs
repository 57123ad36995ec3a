//! Sections 4 and 5: dot products of weight tiles with quantised activations.

use super::{
    QBlock,
    fetch::{self, Fetch, Later, Span},
};
use crate::{
    packed::{Layout, Packed, SEGMENT, Scale, Shape},
    simd::{LANES, Simd},
};
use std::ops::Range;

/// Where results go: `[token][row]`, rows contiguous.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) start: *mut f32,
    /// Floats from a token to the next, at least the weight's rows.
    pub(crate) stride: usize,
    /// Whether there is room for whole tiles; what stands past the weight's rows is then overwritten.
    pub(crate) whole: bool,
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
    /// What this thread will read right after these weights, if they are too short for the processor's own fetching, which begins anew with
    /// each matrix.
    pub(crate) next: Option<*const u8>,
    /// What this thread will read in the tasks after this one, in order.
    pub(crate) later: &'a [Span],
    /// Where this thread goes on reading weights after the last tile, if not right behind it: an address, only ever fetched.
    pub(crate) onward: Option<usize>,
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

/// Tokens whose sums live in registers together. Two tiles by four tokens would fetch fewer activations, but is slower: it unpacks each
/// tile twice as often.
pub(super) const WIDE: usize = 8;

/// Tokens that are run through all tiles of a task before the next ones: both stay in the second cache.
const STRETCH: usize = 64;

/// # Safety
///
/// `S`'s features are present, the job's layout is `K`'s, its pointers are valid and its outputs its own.
#[inline(always)]
pub(super) unsafe fn run<S: Simd, K: Kind>(job: &Matmul<'_>) {
    if let ([token], Layout::Float, 1) = (job.tokens, K::LAYOUT, job.weights.shape.blocks) {
        // SAFETY: as this function's.
        unsafe {
            match job.weights.shape.groups {
                2 => return narrow::<S, 2>(job, *token),
                4 => return narrow::<S, 4>(job, *token),
                8 => return narrow::<S, 8>(job, *token),
                _ => {}
            }
        }
    }
    for (index, tokens) in job.tokens.chunks(STRETCH).enumerate() {
        let last = (index + 1) * STRETCH >= job.tokens.len();
        let mut later = Later::of(job, if last { tokens.len() } else { 0 });
        for tile in job.tiles.clone() {
            // SAFETY: as this function's.
            unsafe { over::<S, K>(job, tile, tokens, &mut later) };
        }
    }
}

/// One tile over all tokens of a stretch.
#[inline(always)]
unsafe fn over<S: Simd, K: Kind>(job: &Matmul<'_>, tile: usize, mut tokens: &[u32], later: &mut Later<'_>) {
    let mut first = Some(Fetch::first(job, tile));
    let mut fetch = || later.add_to(first.take().unwrap_or(Fetch::NOTHING), job);
    // SAFETY: as `run`.
    unsafe {
        while let Some((these, rest)) = tokens.split_first_chunk::<WIDE>() {
            step::<S, K, WIDE>(job, tile, these, fetch());
            tokens = rest;
        }
        if let Some((these, rest)) = tokens.split_first_chunk::<4>() {
            step::<S, K, 4>(job, tile, these, fetch());
            tokens = rest;
        }
        if let Some((these, rest)) = tokens.split_first_chunk::<2>() {
            step::<S, K, 2>(job, tile, these, fetch());
            tokens = rest;
        }
        if let Some((these, _)) = tokens.split_first_chunk::<1>() {
            step::<S, K, 1>(job, tile, these, fetch());
        }
    }
}

/// The B of an adapter of up to `G` · 4 ranks for one token: every tile is one block, and the activations stay in registers.
#[inline(always)]
unsafe fn narrow<S: Simd, const G: usize>(job: &Matmul<'_>, token: u32) {
    if job.tiles.is_empty() {
        return;
    }
    let (scales_at, bytes) = (G * 64, G * 64 + LANES * 2);
    debug_assert_eq!(bytes, job.weights.shape.tile_bytes());
    // Mostly a tile's sums are all there is to its place.
    let plain = !job.accumulate && job.bias.is_none();
    // SAFETY: as `run`.
    unsafe {
        let x = &*job.x.add(token as usize * job.x_stride);
        let mut words = [0; G];
        for (g, word) in words.iter_mut().enumerate() {
            *word = *std::ptr::from_ref(x).cast::<i32>().add(g);
        }
        let (scale, start) = (S::splat(x.scale), if S::WIDE_IS_OFFSET { x.offset } else { 0 });
        let out = job.out.start.add(token as usize * job.out.stride);
        let mut codes = job.weights.tile(job.tiles.start);
        let mut next = job.next;
        for tile in job.tiles.clone() {
            if let Some(next) = &mut next {
                fetch::lines(*next, bytes, |line| S::prefetch_second(line));
                *next = next.wrapping_add(bytes);
            }
            let mut sum = S::splat_i(start);
            for (g, word) in words.iter().enumerate() {
                sum = S::dot_wide(sum, S::load_codes(codes.add(g * 64)), *word);
            }
            let d = S::mul(scales::<S, Float>(codes.add(scales_at), 0), scale);
            let zero = S::splat(0.0);
            let sum = S::add(zero, S::fma(d, S::to_f(sum), zero));
            if plain && (tile + 1) * LANES <= job.weights.shape.rows {
                S::store(out.add(tile * LANES), sum);
            } else {
                put::<S>(job, tile, token, sum);
            }
            codes = codes.add(bytes);
        }
    }
}

/// One tile over `T` tokens, and what is done with the sums.
#[inline(always)]
unsafe fn step<S: Simd, K: Kind, const T: usize>(
    job: &Matmul<'_>,
    tile: usize,
    tokens: &[u32; T],
    fetch: Fetch,
) {
    // SAFETY: as `run`: tokens index `x` and the output, the tile is one of the weight's.
    unsafe {
        let x = tokens.map(|token| job.x.add(token as usize * job.x_stride));
        let sums = dots::<S, K, T>(&job.weights.shape, job.weights.tile(tile), &x, fetch);
        for t in 0..T {
            put::<S>(job, tile, tokens[t], sums[t]);
        }
    }
}

/// Bias, what is there already, and the place.
#[inline(always)]
pub(super) unsafe fn put<S: Simd>(job: &Matmul<'_>, tile: usize, token: u32, sum: S::F) {
    let first = tile * LANES;
    let lanes = LANES.min(job.weights.shape.rows - first);
    // SAFETY: as `step`.
    unsafe {
        let out = job.out.start.add(token as usize * job.out.stride + first);
        if lanes == LANES || job.out.whole {
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
    // SAFETY: there is room for a whole tile at `first`, and a bias only where there are as many rows; pointers as `run`.
    unsafe {
        let sum = match job.bias {
            Some(bias) => S::add(sum, S::load(bias.as_ptr().add(first))),
            None => sum,
        };
        let sum = if job.accumulate { S::add(S::load(from), sum) } else { sum };
        S::store(to, sum);
    }
}

/// Where the parts of a tile begin. Computed before the loops over its blocks: the branches of [`Shape`] in there would part what the
/// compiler arranges as one.
#[derive(Clone, Copy, Debug)]
struct Sections {
    codes: *const u8,
    scales: *const u8,
    mins: *const u8,
    halves: *const u8,
}

impl Sections {
    #[inline(always)]
    fn of(shape: &Shape, tile: *const u8) -> Self {
        let at = |offset| tile.wrapping_add(offset);
        let (scales, mins, halves) = (at(shape.scales_at()), at(shape.mins_at()), at(shape.halves_at()));
        Self { codes: tile, scales, mins, halves }
    }
}

/// Section 4 for sixteen rows and `T` tokens.
///
/// # Safety
///
/// `S`'s features are present; `tile` points to a tile of `shape`, of layout `K`, each of `x` to its blocks.
#[inline(always)]
pub(super) unsafe fn dots<S: Simd, K: Kind, const T: usize>(
    shape: &Shape,
    tile: *const u8,
    x: &[*const QBlock; T],
    fetch: Fetch,
) -> [S::F; T] {
    // SAFETY: as this function's; block indices stay below the shape's.
    unsafe {
        let mut y = [S::splat(0.0); T];
        let stride = shape.tile_bytes() / shape.blocks;
        let sections = Sections::of(shape, tile);
        let mut b = 0;
        while b < shape.blocks {
            let end = shape.blocks.min(b + SEGMENT);
            let mut segment = [S::splat(0.0); T];
            while b < end {
                fetch.block::<S>(b, tile.add(b * stride), stride);
                let i = integer::<S, K, T>(shape, &sections, b, x);
                let d = scales::<S, K>(sections.scales, b);
                for t in 0..T {
                    let d = S::mul(d, S::splat((*x[t].add(b)).scale));
                    segment[t] = S::fma(d, S::to_f(i[t]), segment[t]);
                }
                if K::LAYOUT.has_min() {
                    let m = scales::<S, K>(sections.mins, b);
                    for t in 0..T {
                        segment[t] = S::fma(m, S::splat((*x[t].add(b)).weighted), segment[t]);
                    }
                }
                b += 1;
            }
            for t in 0..T {
                y[t] = S::add(y[t], segment[t]);
            }
        }
        y
    }
}

/// Σ q·a of one block.
#[inline(always)]
unsafe fn integer<S: Simd, K: Kind, const T: usize>(
    shape: &Shape,
    tile: &Sections,
    b: usize,
    x: &[*const QBlock; T],
) -> [S::I; T] {
    // SAFETY: as `dots`; a QBlock begins with its 32 values, so group offsets below 8 stay inside.
    unsafe {
        if K::LAYOUT.nibbles() {
            let codes = tile.codes.add(b * (4 * 64));
            let mut sums = start::<S, K, T>(b, x);
            for g in 0..4 {
                let (low, high) = S::load_nibbles(codes.add(g * 64));
                for t in 0..T {
                    let a = x[t].add(b).cast::<i32>();
                    sums[t] = S::dot_narrow(sums[t], low, *a.add(g));
                    sums[t] = S::dot_narrow(sums[t], high, *a.add(g + 4));
                }
            }
            return sums;
        }
        // Fewer groups than eight there are in a matrix of one block only.
        let groups = if matches!(K::LAYOUT, Layout::Float) && shape.blocks == 1 { shape.groups } else { 8 };
        let codes = tile.codes.add(b * (groups * 64));
        if K::LAYOUT.halves() {
            return halves::<S, T>(tile.halves, codes, b, x);
        }
        let mut sums = start::<S, K, T>(b, x);
        if groups == 8 {
            // Apart, so that it is unrolled.
            for g in 0..8 {
                group::<S, K, T>(&mut sums, codes, b, g, x);
            }
        } else {
            for g in 0..groups {
                group::<S, K, T>(&mut sums, codes, b, g, x);
            }
        }
        sums
    }
}

/// Four columns of a block whose codes are bytes.
#[inline(always)]
unsafe fn group<S: Simd, K: Kind, const T: usize>(
    sums: &mut [S::I; T],
    codes: *const u8,
    b: usize,
    g: usize,
    x: &[*const QBlock; T],
) {
    // SAFETY: as `integer`.
    unsafe {
        let codes = S::load_codes(codes.add(g * 64));
        for t in 0..T {
            let a = *x[t].add(b).cast::<i32>().add(g);
            sums[t] = match K::LAYOUT.offset() {
                128 => S::dot_wide(sums[t], codes, a),
                _ => S::dot_narrow(sums[t], codes, a),
            };
        }
    }
}

/// −offset · σ: takes back what the codes' offset will add.
#[inline(always)]
unsafe fn start<S: Simd, K: Kind, const T: usize>(b: usize, x: &[*const QBlock; T]) -> [S::I; T] {
    let offset = match K::LAYOUT.offset() {
        128 if !S::WIDE_IS_OFFSET => 0,
        offset => offset,
    };
    // SAFETY: as `dots`.
    unsafe {
        let mut sums = [S::splat_i(0); T];
        for (sum, x) in sums.iter_mut().zip(x) {
            let x = &*x.add(b);
            *sum = S::splat_i(match offset {
                0 => 0,
                128 => x.offset,
                _ => -offset * (i32::from(x.sums[0]) + i32::from(x.sums[1])),
            });
        }
        sums
    }
}

/// Q6_K: each half has a scale of its own, applied in integers.
#[inline(always)]
unsafe fn halves<S: Simd, const T: usize>(
    scales: *const u8,
    codes: *const u8,
    b: usize,
    x: &[*const QBlock; T],
) -> [S::I; T] {
    // SAFETY: as `dots`.
    unsafe {
        let mut total = [S::splat_i(0); T];
        for half in 0..2 {
            let mut sums: [S::I; T] =
                std::array::from_fn(|t| S::splat_i(-32 * i32::from((*x[t].add(b)).sums[half])));
            for g in half * 4..half * 4 + 4 {
                let codes = S::load_codes(codes.add(g * 64));
                for t in 0..T {
                    sums[t] = S::dot_narrow(sums[t], codes, *x[t].add(b).cast::<i32>().add(g));
                }
            }
            let scale = S::load_i8_i32(scales.add((b * 2 + half) * LANES).cast());
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
