//! Section 10: attention in two passes over the quantised cache.
//!
//! All queries of one key head are run together, so that each key tile and each value is unpacked once for all of
//! them. First pass: scores of sixteen positions at a time, a page's keys being a weight tile. Second pass: each segment of
//! 64 positions sums from zero, segments are added in order; positions past a query's own are not touched at all.

use super::{
    QBlock, elementwise,
    fetch::Fetch,
    matmul::{self, dots},
};
use crate::{
    blocks::BLOCK,
    kv::HeadLayout,
    packed::{Layout, Shape},
    simd::{LANES, Simd},
};

/// Positions of a segment.
const SEGMENT: usize = 64;

/// One query head of one token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttendRow {
    /// The quantised query.
    pub(crate) query: *const QBlock,
    /// The last position it sees: its own.
    pub(crate) last: usize,
    /// Where the head's result goes.
    pub(crate) out: *mut f32,
}

/// Queries that share a key head and a page table.
#[derive(Debug)]
pub(crate) struct Attend<'a> {
    pub(crate) rows: &'a [AttendRow],
    /// The key head's part of each page, in order of position.
    pub(crate) pages: &'a [*const u8],
    pub(crate) head: HeadLayout,
    /// 1/√d.
    pub(crate) scale: f32,
    /// Room for a score per row and position, positions rounded up to whole pages.
    pub(crate) scores: &'a mut [f32],
}

/// # Safety
///
/// `S`'s features are present; pages reach to the last position of every row; pointers are valid, outputs the job's own.
#[inline(always)]
pub(super) unsafe fn attend<S: Simd>(job: &mut Attend<'_>) {
    let pages = job.rows.iter().map(|row| row.last).max().map_or(0, |last| last / LANES + 1);
    let stride = pages * LANES;
    assert!(
        pages <= job.pages.len() && stride * job.rows.len() <= job.scores.len(),
        "attention out of bounds"
    );
    let scores = job.scores.as_mut_ptr();
    let rows = job.rows;
    // SAFETY: as this function's; scores are in bounds by the check above.
    unsafe {
        let mut at = 0;
        while at < rows.len() {
            let (these, to) = (&rows[at..], scores.add(at * stride));
            at += match these.len() {
                8.. => run::<S, 8>(job, these, pages, to),
                4.. => run::<S, 4>(job, these, pages, to),
                3 => run::<S, 3>(job, these, pages, to),
                2 => run::<S, 2>(job, these, pages, to),
                _ => run::<S, 1>(job, these, pages, to),
            };
        }
    }
}

/// Both passes for the first `R` rows; gives `R`.
#[inline(always)]
unsafe fn run<S: Simd, const R: usize>(
    job: &Attend<'_>,
    rows: &[AttendRow],
    pages: usize,
    scores: *mut f32,
) -> usize {
    let rows: [AttendRow; R] = std::array::from_fn(|r| rows[r]);
    let stride = pages * LANES;
    // SAFETY: as `attend`.
    unsafe {
        let queries = rows.map(|row| row.query);
        let shape = Shape::new(Layout::Key, LANES, job.head.width);
        let scale = S::splat(job.scale);
        for (page, keys) in job.pages[..pages].iter().enumerate() {
            fetch::<S>(job, *keys, job.pages[..pages].get(page + 1).copied());
            let sums = dots::<S, matmul::Key, R>(&shape, *keys, &queries, Fetch::NOTHING);
            for (r, sum) in sums.into_iter().enumerate() {
                S::store(scores.add(r * stride + page * LANES), S::mul(sum, scale));
            }
        }
        let weights: [*mut f32; R] = std::array::from_fn(|r| scores.add(r * stride));
        for r in 0..R {
            exponentials::<S>(weights[r], rows[r].last);
        }
        values::<S, R>(job, &rows, &weights.map(<*mut f32>::cast_const));
    }
    R
}

/// Fetches a page's values, which the second pass will want, and the keys of the page that is next.
#[inline(always)]
unsafe fn fetch<S: Simd>(job: &Attend<'_>, page: *const u8, next: Option<*const u8>) {
    // SAFETY: fetching ahead touches nothing.
    unsafe {
        for at in (job.head.values_at()..job.head.bytes()).step_by(64) {
            S::prefetch(page.wrapping_add(at));
        }
        for at in (0..next.map_or(0, |_| job.head.values_at())).step_by(64) {
            S::prefetch(next.unwrap_or(page).wrapping_add(at));
        }
    }
}

/// Scores to e_j = exp(score − M), in place.
#[inline(always)]
unsafe fn exponentials<S: Simd>(scores: *mut f32, last: usize) {
    // SAFETY: `scores` holds whole pages up to that of `last`.
    unsafe {
        let end = (last / LANES + 1) * LANES;
        for at in last + 1..end {
            *scores.add(at) = f32::NEG_INFINITY;
        }
        let mut most = S::load(scores);
        for at in (LANES..end).step_by(LANES) {
            most = S::max(most, S::load(scores.add(at)));
        }
        let most = S::splat(S::reduce_max(most));
        for at in (0..end).step_by(LANES) {
            S::store(scores.add(at), elementwise::exp::<S>(S::sub(S::load(scores.add(at)), most)));
        }
    }
}

/// out = Σ e_j · V_j / Σ e_j, for as many columns at a time as there are registers for.
#[inline(always)]
unsafe fn values<S: Simd, const R: usize>(
    job: &Attend<'_>,
    rows: &[AttendRow; R],
    weights: &[*const f32; R],
) {
    // SAFETY: as `attend`.
    unsafe {
        let totals = totals(rows, weights).map(|total| S::splat(total));
        let mut column = 0;
        while R <= 4 && column + 4 * LANES <= job.head.width {
            columns::<S, R, 4>(job, rows, weights, &totals, column);
            column += 4 * LANES;
        }
        while column < job.head.width {
            columns::<S, R, 1>(job, rows, weights, &totals, column);
            column += LANES;
        }
    }
}

/// Σ e_j of each row, in the order of the sums over values.
///
/// # Safety
///
/// As [`attend`]: there is a weight for every position up to a row's own.
#[inline(always)]
unsafe fn totals<const R: usize>(rows: &[AttendRow; R], weights: &[*const f32; R]) -> [f32; R] {
    let ends = rows.map(|row| row.last + 1);
    let end = ends.into_iter().max().unwrap_or(0);
    let mut totals = [0.0; R];
    for first in (0..end).step_by(SEGMENT) {
        let mut sums = [0.0; R];
        for j in first..end.min(first + SEGMENT) {
            for r in 0..R {
                if j < ends[r] {
                    // SAFETY: as this function's.
                    sums[r] += unsafe { *weights[r].add(j) };
                }
            }
        }
        for r in 0..R {
            totals[r] += sums[r];
        }
    }
    totals
}

/// `C` times sixteen columns from `column` on.
#[inline(always)]
unsafe fn columns<S: Simd, const R: usize, const C: usize>(
    job: &Attend<'_>,
    rows: &[AttendRow; R],
    weights: &[*const f32; R],
    totals: &[S::F; R],
    column: usize,
) {
    let shared = rows.iter().map(|row| row.last + 1).min().unwrap_or(0);
    let end = rows.iter().map(|row| row.last + 1).max().unwrap_or(0);
    // SAFETY: as `attend`; positions stay below `end`, so pages and weights are in bounds.
    unsafe {
        let mut out = [[S::splat(0.0); C]; R];
        for first in (0..end).step_by(SEGMENT) {
            let stop = end.min(first + SEGMENT);
            let mut sums = [[S::splat(0.0); C]; R];
            for j in first..stop.min(shared) {
                let v = value::<S, C>(job, j, column);
                for r in 0..R {
                    let e = S::splat(*weights[r].add(j));
                    for c in 0..C {
                        sums[r][c] = S::fma(e, v[c], sums[r][c]);
                    }
                }
            }
            for j in first.max(shared)..stop {
                let v = value::<S, C>(job, j, column);
                for r in 0..R {
                    if j <= rows[r].last {
                        let e = S::splat(*weights[r].add(j));
                        for c in 0..C {
                            sums[r][c] = S::fma(e, v[c], sums[r][c]);
                        }
                    }
                }
            }
            for r in 0..R {
                for c in 0..C {
                    out[r][c] = S::add(out[r][c], sums[r][c]);
                }
            }
        }
        for r in 0..R {
            for (c, sum) in out[r].into_iter().enumerate() {
                S::store(rows[r].out.add(column + c * LANES), S::div(sum, totals[r]));
            }
        }
    }
}

/// rn(s_V · q_V) of `C` times sixteen columns.
#[inline(always)]
unsafe fn value<S: Simd, const C: usize>(job: &Attend<'_>, position: usize, column: usize) -> [S::F; C] {
    // SAFETY: as `values`.
    unsafe {
        let (page, slot) = (*job.pages.as_ptr().add(position / LANES), position % LANES);
        let scales = page.add(job.head.value_scales_at()).cast::<f32>();
        let scales = scales.add(slot * (job.head.width / BLOCK) + column / BLOCK);
        let codes = page.add(job.head.values_at() + slot * job.head.width + column).cast::<i8>();
        std::array::from_fn(|c| {
            let scale = *scales.add((column % BLOCK + c * LANES) / BLOCK);
            S::mul(S::splat(scale), S::load_i8(codes.add(c * LANES)))
        })
    }
}
