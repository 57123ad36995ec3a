//! Linear layers of a step: base weights and adapters, shared out to the threads.
//!
//! ```text
//! x ──┬─> tiles of every base matrix ────────────────────────────┐
//!     ├─> adapters of few tokens: A ─> u ─> Q8(u) ─> B ─> δ ─────┴─> y += δ by what reads y next
//!     └─> other adapters: A ─> u ─> Q8(u) ─────────────────────> B ─> y += δ, parts in request order
//! ```
//!
//! What is left of the last arrow is one round of [tasks](super::tasks); without other adapters that round is all. Then each place of the compositions is a
//! round: its adapters change different tokens, so one task streams one adapter's B from end to end.
//! A DoRA adapter scales what comes out, and the bias follows: its tokens go through a biased matrix apart from the others.

use super::{
    delta::Deltas,
    plan::{Group, Plan},
    shared::Shared,
    tasks::{Adapters, batch, piece_of, run_jobs},
};
use crate::{
    CpuError,
    blocks::BLOCK,
    kernels::{Kernels, Matmul, Output, QBlock},
    lora::{Change, Prepared},
    packed::Packed,
    pool::Pool,
    simd::LANES,
};
use std::ops::Range;
use tributary_adapters::Projection;

/// One base matrix and where its result goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linear<'a> {
    pub(super) weights: &'a Packed,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) projection: Projection,
    pub(super) out: Output,
}

/// Quantised activations, `[token][stride]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input {
    pub(super) start: *const QBlock,
    pub(super) stride: usize,
}

/// Room for what lies between A and B: `[slot][token][stride]`.
#[derive(Debug)]
pub(super) struct Between {
    u: Shared<f32>,
    q: Shared<QBlock>,
    tokens: usize,
    stride: usize,
}

/// Matrices that share an input, at most.
const MOST: usize = 3;

impl Between {
    pub(super) fn new() -> Self {
        Self { u: Shared::new(0.0, 0), q: Shared::new(QBlock::ZERO, 0), tokens: 0, stride: 0 }
    }

    /// Makes room for a step.
    pub(super) fn prepare(&mut self, plan: &Plan<'_>) {
        self.tokens = plan.tokens.len();
        self.stride = plan.rank().next_multiple_of(BLOCK);
        let len = MOST * plan.places() * self.tokens * self.stride;
        self.u.grow(0.0, len);
        self.q.grow(QBlock::ZERO, len / BLOCK);
    }

    const fn at(&self, slot: usize, token: usize) -> usize {
        (slot * self.tokens + token) * self.stride
    }

    /// What B takes.
    fn input(&self, slot: usize) -> Input {
        Input { start: self.q.at(self.at(slot, 0) / BLOCK), stride: self.stride / BLOCK }
    }
}

/// What the rounds of one call need.
pub(super) struct Round<'a> {
    pub(super) kernels: Kernels,
    pub(super) plan: &'a Plan<'a>,
    pub(super) between: &'a Between,
    pub(super) deltas: &'a Deltas,
    pub(super) layer: usize,
}

// SAFETY: the pointers of a job are into buffers that outlive the round, and tasks write disjoint parts.
unsafe impl Sync for Matmul<'_> {}
// SAFETY: as above: quantised activations are complete before a round that reads them begins.
unsafe impl Sync for Input {}
// SAFETY: as above: a round's tasks write disjoint parts of what a layer gives.
unsafe impl Sync for Linear<'_> {}

impl Round<'_> {
    /// Runs matrices that share an input, with the adapters of the step's tokens. `after` are those that come next.
    ///
    /// # Safety
    ///
    /// `input` and the outputs are valid for every token of the plan, and nobody else touches them meanwhile.
    pub(super) unsafe fn run(
        &self,
        pool: &mut Pool,
        linears: &[Linear<'_>],
        input: Input,
        after: &[&Packed],
    ) -> Result<(), CpuError> {
        let later: Vec<Option<[Vec<u32>; 2]>> =
            linears.iter().map(|linear| self.biased_later(linear)).collect();
        let mut jobs: Vec<Matmul<'_>> = Vec::with_capacity(linears.len());
        for (linear, later) in linears.iter().zip(&later) {
            let job = |tokens, bias| whole(linear.weights, input, tokens, bias, linear.out);
            match later {
                None => jobs.push(job(&self.plan.all, linear.bias)),
                Some([now, later]) => jobs.extend([job(now, linear.bias), job(later, None)]),
            }
        }
        let mut shrinks: Vec<Shrink<'_>> = Vec::new();
        let mut ends = Vec::with_capacity(self.plan.parts.len());
        for place in 0..self.plan.parts.len() {
            self.changes(linears, place, &mut shrinks);
            ends.push(shrinks.len());
        }
        let adapters = Adapters::new(self, linears, input, &shrinks, pool.threads());
        // SAFETY: outputs are disjoint: each base matrix has its own, each slot and token of `between` likewise.
        unsafe { run_jobs(self.kernels, pool, &jobs, Some(&adapters), after)? };
        let mut start = 0;
        for end in ends {
            self.expand(pool, linears, &shrinks[start..end])?;
            start = end;
        }
        Ok(())
    }

    /// The tokens of a layer with a bias that take it at once, and those that a DoRA adapter scales first. None without any of
    /// those.
    fn biased_later(&self, linear: &Linear<'_>) -> Option<[Vec<u32>; 2]> {
        linear.bias?;
        let mut scaled = vec![false; self.plan.all.len()];
        for group in self.plan.parts.iter().flatten() {
            let change = group.adapter.change(self.layer, linear.projection);
            if change.is_some_and(|change| change.gain.is_some()) {
                group.tokens.iter().for_each(|token| scaled[*token as usize] = true);
            }
        }
        let (later, now): (Vec<u32>, Vec<u32>) =
            self.plan.all.iter().partition(|token| scaled[**token as usize]);
        (!later.is_empty()).then_some([now, later])
    }

    /// The changes of one place of the compositions, an adapter's next to each other.
    fn changes<'s>(&'s self, linears: &[Linear<'_>], place: usize, all: &mut Vec<Shrink<'s>>) {
        for group in &self.plan.parts[place] {
            for (index, linear) in linears.iter().enumerate() {
                let Some(change) = group.adapter.change(self.layer, linear.projection) else { continue };
                let slot = place * MOST + index;
                all.extend(group.tokens.chunks(CHUNK).map(|tokens| Shrink { index, slot, change, tokens }));
            }
        }
    }

    /// All that an adapter of few tokens adds: its A and B as they lie in memory.
    pub(super) fn beside(&self, linears: &[Linear<'_>], index: usize, input: Input) {
        let Group { adapter, tokens } = &self.plan.beside[index];
        let after = self.plan.beside.get(index + 1);
        let after = after.and_then(|group| changes(group.adapter, self.layer, linears).next());
        let mut all = changes(adapter, self.layer, linears).peekable();
        while let Some((slot, projection, change)) = all.next() {
            let shrink = Shrink { index: slot, slot, change, tokens };
            self.shrink(&shrink, Some(change.b.tile(0)), input);
            let next = all.peek().or(after.as_ref()).map(|(.., next)| next.a.tile(0));
            let out = self.deltas.output(projection);
            let input = self.between.input(slot);
            // SAFETY: no two tasks have the same token; the input is complete.
            unsafe { self.kernels.matmul(&Matmul { next, ..whole(&change.b, input, tokens, None, out) }) };
        }
    }

    /// u = A · x and Q8(u), padded with zeros to whole blocks.
    pub(super) fn shrink(&self, shrink: &Shrink<'_>, next: Option<*const u8>, input: Input) {
        let Shrink { slot, change, tokens, .. } = *shrink;
        let start = self.between.u.at(self.between.at(slot, 0));
        let out = Output { start, stride: self.between.stride, whole: true };
        // SAFETY: no two tasks have the same slot and token; the input is complete.
        unsafe { self.kernels.matmul(&Matmul { next, ..whole(&change.a, input, tokens, None, out) }) };
        let rank = change.a.shape.rows;
        let (written, padded) = (rank.next_multiple_of(LANES), rank.next_multiple_of(BLOCK));
        for token in tokens {
            let at = self.between.at(slot, *token as usize);
            // SAFETY: as above.
            let (u, q) = unsafe {
                (self.between.u.part_mut(at, padded), self.between.q.part_mut(at / BLOCK, padded / BLOCK))
            };
            // What pads a tile came out as zero.
            u[written..].fill(0.0);
            if !self.kernels.quantize(u, q) {
                self.plan.fail(*token as usize);
            }
        }
    }

    /// y += δ for every token of a place. Only where there are too few tasks is a matrix divided.
    fn expand(
        &self,
        pool: &mut Pool,
        linears: &[Linear<'_>],
        changes: &[Shrink<'_>],
    ) -> Result<(), CpuError> {
        let heavy = changes.iter().map(|change| change.change.b.shape.bytes()).max().unwrap_or(0) > HEAVY;
        let pieces = if heavy && changes.len() < pool.threads() * 2 { pool.threads() } else { 1 };
        let all = changes.len() * pieces;
        let batch = batch(all, pool.threads());
        pool.run(all.div_ceil(batch), &|task, _| {
            for at in task * batch..all.min((task + 1) * batch) {
                let (Shrink { index, slot, change, tokens }, piece) = (changes[at / pieces], at % pieces);
                let input = self.between.input(slot);
                let tiles = piece_of(change.b.shape.tiles(), piece, pieces);
                let linear = &linears[index];
                let job = whole(&change.b, input, tokens, None, linear.out);
                let job = Matmul { tiles: tiles.clone(), accumulate: true, ..job };
                let next = changes.get((at + 1) / pieces).map(|next| next.change.b.tile(0));
                // SAFETY: tasks differ in the layer, the rows or the tokens of the output; inputs are complete.
                unsafe {
                    self.kernels.matmul(&Matmul { next, ..job.clone() });
                    if let Some(gain) = change.gain.as_deref() {
                        Scaling { gain, bias: linear.bias }.apply(&job, tiles);
                    }
                }
            }
        })
    }
}

/// What an adapter changes of layers that run together: which of them, and how.
pub(super) fn changes<'a>(
    adapter: &'a Prepared,
    layer: usize,
    linears: &'a [Linear<'_>],
) -> impl Iterator<Item = (usize, Projection, &'a Change)> {
    let change = move |linear: &Linear<'_>| adapter.change(layer, linear.projection);
    linears
        .iter()
        .enumerate()
        .filter_map(move |(index, linear)| Some((index, linear.projection, change(linear)?)))
}

/// One adapter's change of one layer for some tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shrink<'a> {
    /// Which of the layers that run together.
    index: usize,
    /// Where its intermediate result goes.
    slot: usize,
    pub(super) change: &'a Change,
    tokens: &'a [u32],
}

/// Tokens of a task of one adapter.
const CHUNK: usize = 64;
/// Bytes of B from which it is worth another round of tasks to divide it.
const HEAVY: usize = 64 << 10;

/// What DoRA does to a layer's rows once δ is added.
#[derive(Clone, Copy, Debug)]
struct Scaling<'a> {
    gain: &'a [f32],
    bias: Option<&'a [f32]>,
}

impl Scaling<'_> {
    /// y = rn(g·y), then y = rn(y + bias), in the rows of some tiles of a job. Each value by itself, so any compilation of it gives the
    /// same bits.
    ///
    /// # Safety
    ///
    /// The job's output is valid, and nobody else touches these rows.
    unsafe fn apply(&self, job: &Matmul<'_>, tiles: Range<usize>) {
        let rows = tiles.start * LANES..(tiles.end * LANES).min(job.weights.shape.rows);
        for token in job.tokens {
            // SAFETY: rows of one of the job's tokens, the caller's alone.
            let y = unsafe {
                let start = job.out.start.add(*token as usize * job.out.stride + rows.start);
                std::slice::from_raw_parts_mut(start, rows.len())
            };
            scale_rows(y, &self.gain[rows.clone()], self.bias.map(|bias| &bias[rows.clone()]));
        }
    }
}

/// y = rn(g·y), then y = rn(y + bias).
pub(crate) fn scale_rows(y: &mut [f32], gain: &[f32], bias: Option<&[f32]>) {
    y.iter_mut().zip(gain).for_each(|(y, gain)| *y *= gain);
    y.iter_mut().zip(bias.unwrap_or_default()).for_each(|(y, bias)| *y += bias);
}

/// All tiles of a matrix.
fn whole<'a>(
    weights: &'a Packed,
    x: Input,
    tokens: &'a [u32],
    bias: Option<&'a [f32]>,
    out: Output,
) -> Matmul<'a> {
    let tiles = 0..weights.shape.tiles();
    Matmul {
        weights,
        tiles,
        x: x.start,
        x_stride: x.stride,
        tokens,
        bias,
        accumulate: false,
        next: None,
        later: &[],
        onward: None,
        out,
    }
}

/// Matrices that share an input, over some tokens, without adapters. `after` are those that come next.
///
/// # Safety
///
/// `input` and the outputs are valid for every index in `tokens`, and nobody else touches them meanwhile.
pub(super) unsafe fn plain(
    kernels: Kernels,
    pool: &mut Pool,
    matrices: &[(&Packed, Output)],
    input: Input,
    tokens: &[u32],
    after: &[&Packed],
) -> Result<(), CpuError> {
    let jobs: Vec<Matmul<'_>> =
        matrices.iter().map(|(weights, out)| whole(weights, input, tokens, None, *out)).collect();
    // SAFETY: outputs are disjoint by the caller's promise, as is the rest.
    unsafe { run_jobs(kernels, pool, &jobs, None, after) }
}

/// The head over some tokens' final vectors.
///
/// # Safety
///
/// `input` and `out` are valid for every index in `tokens`, and nobody else touches them meanwhile.
pub(super) unsafe fn head(
    kernels: Kernels,
    pool: &mut Pool,
    weights: &Packed,
    input: Input,
    tokens: &[u32],
    out: Output,
) -> Result<(), CpuError> {
    // SAFETY: one job; the rest is the caller's promise.
    unsafe { run_jobs(kernels, pool, &[whole(weights, input, tokens, None, out)], None, &[]) }
}
