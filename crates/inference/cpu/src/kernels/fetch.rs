//! What is fetched from memory while a job runs.
//!
//! A lone token waits for memory: it fetches what its weights go on with. A batch is bound by arithmetic, and memory has time: it fetches the
//! tile after the next, and what the thread reads after the job, into the second cache.

use super::matmul::{Matmul, STRETCH, WIDE};
use crate::simd::Simd;

/// A cache line.
const LINE: usize = 64;

/// How far ahead a lone token's weights are fetched, in bytes.
const AHEAD: usize = 8 << 10;

/// What a job's weights need.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ahead {
    /// They come from memory, one tile after the other.
    Stream,
    /// They are too short for the processor's own fetching, which begins anew with each: what this thread reads next comes with the last tile.
    Then(*const u8),
    /// They are in the second cache already.
    Nothing,
}

/// A part of memory that will be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: *const u8,
    pub(crate) bytes: usize,
}

// SAFETY: an address that nobody reads through.
unsafe impl Sync for Span {}

/// What one run over a tile's blocks fetches. No address makes fetching wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetch {
    /// So many bytes on from the tile itself, into the first cache, or the second.
    near: usize,
    far: usize,
    /// Something else, so many lines with each block.
    other: *const u8,
    lines: usize,
}

impl Fetch {
    pub(super) const NOTHING: Self = Self { near: 0, far: 0, other: std::ptr::null(), lines: 0 };

    /// What a run over a tile fetches of the job's own weights: the first one the next tile, the second one the tile after that, which the
    /// first run there finds in the second cache.
    #[inline(always)]
    pub(super) fn of(job: &Matmul<'_>, tile: usize, tokens: usize, run: usize) -> Self {
        let shape = &job.weights.shape;
        match (job.ahead, run) {
            (Ahead::Then(next), 0) if tile + 1 == job.tiles.end => Self {
                other: next,
                lines: (shape.tile_bytes() / shape.blocks).div_ceil(LINE),
                ..Self::NOTHING
            },
            (Ahead::Stream, 0) if tokens == 1 => Self { near: AHEAD, ..Self::NOTHING },
            (Ahead::Stream | Ahead::Then(_), 0) => Self { near: shape.tile_bytes(), ..Self::NOTHING },
            (Ahead::Stream, 1) => Self { far: 2 * shape.tile_bytes(), ..Self::NOTHING },
            _ => Self::NOTHING,
        }
    }

    /// What belongs to block `b`, `at` in a tile whose blocks take `stride` bytes each.
    ///
    /// # Safety
    ///
    /// `S`'s features are present.
    #[inline(always)]
    pub(super) unsafe fn block<S: Simd>(&self, b: usize, at: *const u8, stride: usize) {
        // SAFETY: features are the caller's promise.
        unsafe {
            if self.near > 0 {
                lines(at.wrapping_add(self.near), stride, |line| S::prefetch(line));
            }
            if self.far > 0 {
                lines(at.wrapping_add(self.far), stride, |line| S::prefetch_second(line));
            }
            for line in b * self.lines..(b + 1) * self.lines {
                S::prefetch_second(self.other.wrapping_add(line * LINE));
            }
        }
    }
}

/// Calls `fetch` with each line of some bytes.
#[inline(always)]
pub(super) fn lines(start: *const u8, bytes: usize, fetch: impl Fn(*const u8)) {
    for line in 0..bytes.div_ceil(LINE) {
        fetch(start.wrapping_add(line * LINE));
    }
}

/// Divides what a thread reads after a job among the runs over the job's tiles.
#[derive(Debug)]
pub(super) struct Later<'a> {
    spans: &'a [Span],
    /// Bytes of the first span that are fetched.
    done: usize,
    /// Lines that a block's run fetches.
    lines: usize,
}

impl<'a> Later<'a> {
    /// Of a job of more than one run over a tile.
    pub(super) fn of(job: &Matmul<'a>) -> Self {
        let runs = job.tokens.len().min(STRETCH).div_ceil(WIDE);
        if runs < 2 {
            return Self { spans: &[], done: 0, lines: 0 };
        }
        let bytes: usize = job.later.iter().map(|span| span.bytes).sum();
        // What is left of a run when a span ends is lost.
        let whole = (job.tiles.len() * runs).saturating_sub(job.later.len().saturating_sub(1));
        let blocks = (whole * job.weights.shape.blocks).max(1);
        Self { spans: job.later, done: 0, lines: bytes.div_ceil(LINE).div_ceil(blocks) }
    }

    /// Adds a portion to what a run fetches.
    #[inline(always)]
    pub(super) fn beside(&mut self, fetch: Fetch, job: &Matmul<'_>) -> Fetch {
        let Some(span) = self.spans.first() else { return fetch };
        let other = span.start.wrapping_add(self.done);
        self.done += job.weights.shape.blocks * self.lines * LINE;
        if self.done >= span.bytes {
            (self.spans, self.done) = (&self.spans[1..], 0);
        }
        Fetch { other, lines: self.lines, ..fetch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernels::Output,
        packed::{Layout, Packed, Shape},
    };
    use std::collections::BTreeSet;

    /// Whatever the sizes, each line is fetched by some run, and most of them by one.
    #[test]
    fn a_job_fetches_all_that_comes_later() {
        let tokens: Vec<u32> = (0..70).collect();
        for (count, tiles, blocks) in [(9, 3, 18), (16, 30, 18), (17, 1, 1), (64, 6, 48), (70, 2, 5)] {
            let shape = Shape::new(Layout::Float, tiles * 16, blocks * 32);
            let weights = Packed::alone(shape, |_, _| crate::blocks::Block::ZERO).unwrap();
            for bytes in [[64, 64], [64 * 700, 64 * 3], [100, 64 * 9999]] {
                let address = |at: usize| std::ptr::without_provenance::<u8>(at);
                let spans = [
                    Span { start: address(1 << 30), bytes: bytes[0] },
                    Span { start: address(2 << 30), bytes: bytes[1] },
                ];
                let job = Matmul {
                    weights: &weights,
                    tiles: 0..tiles,
                    x: std::ptr::null(),
                    x_stride: blocks,
                    tokens: &tokens[..count],
                    bias: None,
                    accumulate: false,
                    ahead: Ahead::Stream,
                    later: &spans,
                    out: Output { start: std::ptr::null_mut(), stride: 0, whole: false },
                };
                let (mut later, mut found) = (Later::of(&job), BTreeSet::new());
                for _ in 0..tiles * count.min(STRETCH).div_ceil(WIDE) {
                    let fetch = later.beside(Fetch::NOTHING, &job);
                    let lines = 0..fetch.lines * shape.blocks;
                    found.extend(lines.map(|line| fetch.other.addr() + line * LINE));
                }
                let wanted = spans.iter().flat_map(|span| {
                    (0..span.bytes.div_ceil(LINE)).map(|line| span.start.addr() + line * LINE)
                });
                let missed: Vec<usize> = wanted.filter(|line| !found.contains(line)).collect();
                assert!(missed.is_empty(), "{count} tokens, {tiles} × {blocks}, {bytes:?}: {missed:?}");
            }
        }
    }
}
