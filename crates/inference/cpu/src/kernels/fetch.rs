//! What is fetched from memory while a job runs.
//!
//! A lone token waits for memory. A batch is bound by arithmetic, and memory has time for what the thread reads after the job.
//!
//! | run over a tile | fetches, with each block | into |
//! |---|---|---|
//! | the first | the weights 2 KB ahead | the first cache |
//! | the first | the weights 24 KB ahead | the second |
//! | each, of a batch | a portion of what adapters read later | the second |
//!
//! Memory is asked for from the second cache, because that has more lines under way than the first. What would lie behind a job's last tile
//! is fetched from where the thread goes on (`onward`), so that memory is busy while rounds end and begin. Of a short matrix the last tile fetches
//! the matrix after it instead.

use super::matmul::{Matmul, WIDE};
use crate::simd::Simd;

/// A cache line.
const LINE: usize = 64;

/// How far ahead weights are fetched into the first cache, in bytes.
const NEAR: usize = 2 << 10;
/// And into the second, from memory.
const FAR: usize = 24 << 10;

/// A part of memory that will be read, by its address: it is only ever fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) bytes: usize,
}

/// What one run over a tile's blocks fetches. No address makes fetching wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetch {
    /// So many bytes on from the tile itself, into the first cache, or the second.
    near: usize,
    far: usize,
    /// Where the job's weights end, and how far from there what the thread reads next is.
    end: usize,
    jump: usize,
    /// Something else, so many lines with each block, into the second.
    other: *const u8,
    lines: usize,
}

impl Fetch {
    pub(super) const NOTHING: Self =
        Self { near: 0, far: 0, end: usize::MAX, jump: 0, other: std::ptr::null(), lines: 0 };

    /// What the first run over a tile fetches of the weights to come.
    #[inline(always)]
    pub(super) fn first(job: &Matmul<'_>, tile: usize) -> Self {
        let bytes = job.weights.shape.tile_bytes();
        match job.next {
            Some(other) if tile + 1 == job.tiles.end => {
                Self { other, lines: (bytes / job.weights.shape.blocks).div_ceil(LINE), ..Self::NOTHING }
            }
            Some(_) => Self { near: bytes, ..Self::NOTHING },
            None => {
                let end = job.weights.tile(0).addr() + job.tiles.end * bytes;
                let jump = job.onward.map_or(0, |onward| onward.wrapping_sub(end));
                Self { near: NEAR, far: FAR, end, jump, ..Self::NOTHING }
            }
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
                let far = at.wrapping_add(self.far);
                let far = if far.addr() < self.end { far } else { far.wrapping_add(self.jump) };
                lines(far, stride, |line| S::prefetch_second(line));
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
    /// Bytes of the first span that runs before this one fetch.
    done: usize,
    /// Lines that a block fetches, at most.
    lines: usize,
}

impl<'a> Later<'a> {
    /// For a stretch of so many tokens: nothing up to [`WIDE`], which are not bound by arithmetic.
    pub(super) fn of(job: &Matmul<'a>, tokens: usize) -> Self {
        let runs = job.tiles.len() * tokens.div_ceil(WIDE);
        if tokens <= WIDE || runs < job.later.len() {
            return Self { spans: &[], done: 0, lines: 0 };
        }
        let bytes: usize = job.later.iter().map(|span| span.bytes).sum();
        // What is left of a run when a span ends is lost.
        let whole = runs - job.later.len().saturating_sub(1);
        let blocks = (whole * job.weights.shape.blocks).max(1);
        Self { spans: job.later, done: 0, lines: bytes.div_ceil(LINE).div_ceil(blocks) }
    }

    /// Adds a portion to what a run fetches.
    #[inline(always)]
    pub(super) fn add_to(&mut self, fetch: Fetch, job: &Matmul<'_>) -> Fetch {
        let Some(span) = self.spans.first() else { return fetch };
        let blocks = job.weights.shape.blocks;
        let left = (span.bytes - self.done).div_ceil(LINE).div_ceil(blocks);
        let other = std::ptr::without_provenance(span.start + self.done);
        let lines = self.lines.min(left);
        self.done += blocks * lines * LINE;
        if self.done >= span.bytes {
            (self.spans, self.done) = (&self.spans[1..], 0);
        }
        Fetch { other, lines, ..fetch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        blocks::Block,
        kernels::Output,
        packed::{Layout, Packed, Shape},
    };

    /// Every line is fetched, and few for nothing.
    #[test]
    fn a_job_fetches_all_that_comes_later() {
        let tokens: Vec<u32> = (0..64).collect();
        for (count, tiles, blocks) in [(9, 3, 18), (16, 30, 18), (17, 1, 1), (64, 6, 48), (60, 2, 5)] {
            let shape = Shape::new(Layout::Float, tiles * 16, blocks * 32);
            let weights = Packed::alone(shape, |_, _| Block::ZERO).unwrap();
            for bytes in [[64, 64], [64 * 700, 64 * 3], [100, 64 * 9999]] {
                let spans =
                    [Span { start: 1 << 30, bytes: bytes[0] }, Span { start: 2 << 30, bytes: bytes[1] }];
                let job = Matmul {
                    weights: &weights,
                    tiles: 0..tiles,
                    x: std::ptr::null(),
                    x_stride: blocks,
                    tokens: &tokens[..count],
                    bias: None,
                    accumulate: false,
                    next: None,
                    later: &spans,
                    onward: None,
                    out: Output { start: std::ptr::null_mut(), stride: 0, whole: false },
                };
                let (mut later, mut found) = (Later::of(&job, count), Vec::new());
                for _ in 0..tiles * count.div_ceil(WIDE) {
                    let fetch = later.add_to(Fetch::NOTHING, &job);
                    let lines = 0..fetch.lines * shape.blocks;
                    found.extend(lines.map(|line| fetch.other.addr() + line * LINE));
                }
                let case = format!("{count} tokens, {tiles} × {blocks}, {bytes:?}");
                let wanted: Vec<usize> = spans
                    .iter()
                    .flat_map(|span| (0..span.bytes.div_ceil(LINE)).map(|line| span.start + line * LINE))
                    .collect();
                assert!(wanted.iter().all(|line| found.contains(line)), "{case}");
                assert!(found.len() <= wanted.len() + spans.len() * blocks, "{case}: {} lines", found.len());
            }
        }
    }
}
