//! Linear layers of a step: base weights and adapters, shared out to the threads.
//!
//! ```text
//! x ──┬─> tiles of every base matrix ───────────────┐
//!     └─> A of every adapter ─> u ─> Q8(u) ─> B ────┴─> y += δ, parts in request order
//! ```
//!
//! Everything left of Q8(u) is one round of tasks. Without adapters that round is all.

use super::{plan::Plan, shared::Shared};
use crate::{
    CpuError,
    blocks::BLOCK,
    kernels::{Kernels, Matmul, Output, QBlock},
    lora::Change,
    packed::Packed,
    pool::Pool,
};
use std::ops::Range;
use tributary_adapters::Projection;

/// Tasks handed out per thread: enough that a thread put aside is made up for.
const TASKS_PER_THREAD: usize = 4;

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
        let len = MOST * plan.parts.len() * self.tokens * self.stride;
        self.u.grow(0.0, len);
        self.q.grow(QBlock::ZERO, len / BLOCK);
    }

    const fn at(&self, slot: usize, token: usize) -> usize {
        (slot * self.tokens + token) * self.stride
    }
}

/// What the rounds of one call need.
pub(super) struct Round<'a> {
    pub(super) kernels: Kernels,
    pub(super) plan: &'a Plan<'a>,
    pub(super) between: &'a Between,
    pub(super) layer: usize,
}

// SAFETY: the pointers of a job are into buffers that outlive the round, and tasks write disjoint parts.
unsafe impl Sync for Matmul<'_> {}

impl Round<'_> {
    /// Runs matrices that share an input, with the adapters of the step's tokens.
    ///
    /// # Safety
    ///
    /// `input` and the outputs are valid for every token of the plan, and nobody else touches them meanwhile.
    pub(super) unsafe fn run(
        &self,
        pool: &mut Pool,
        linears: &[Linear<'_>],
        input: Input,
    ) -> Result<(), CpuError> {
        let mut jobs: Vec<Matmul<'_>> = linears
            .iter()
            .map(|linear| whole(linear.weights, input, &self.plan.all, linear.bias, linear.out))
            .collect();
        for (slot, change, tokens) in self.changes(linears) {
            let out =
                Output { start: self.between.u.at(self.between.at(slot, 0)), stride: self.between.stride };
            jobs.push(whole(&change.a, input, tokens, None, out));
        }
        // SAFETY: outputs are disjoint: each base matrix has its own, each slot of `between` likewise.
        unsafe { run_jobs(self.kernels, pool, &jobs)? };
        if jobs.len() == linears.len() {
            return Ok(());
        }
        self.quantize(linears);
        self.expand(pool, linears)
    }

    /// Every adapter's change of these layers, with the slot of its intermediate result and its tokens.
    fn changes<'s>(
        &'s self,
        linears: &'s [Linear<'_>],
    ) -> impl Iterator<Item = (usize, &'s Change, &'s [u32])> {
        linears.iter().enumerate().flat_map(move |(index, linear)| self.changes_of(index, linear.projection))
    }

    /// The same for one layer, in the order in which they add.
    fn changes_of(
        &self,
        index: usize,
        projection: Projection,
    ) -> impl Iterator<Item = (usize, &Change, &[u32])> {
        self.plan.parts.iter().enumerate().flat_map(move |(place, groups)| {
            let slot = place * MOST + index;
            groups.iter().filter_map(move |group| {
                group.adapter.change(self.layer, projection).map(|change| (slot, change, &group.tokens[..]))
            })
        })
    }

    /// Q8(u), padded with zeros to whole blocks.
    fn quantize(&self, linears: &[Linear<'_>]) {
        for (slot, change, tokens) in self.changes(linears) {
            let rank = change.a.shape.rows;
            let padded = rank.next_multiple_of(BLOCK);
            for token in tokens {
                let at = self.between.at(slot, *token as usize);
                // SAFETY: between two rounds this thread is alone.
                let (u, q) = unsafe {
                    (self.between.u.part_mut(at, padded), self.between.q.part_mut(at / BLOCK, padded / BLOCK))
                };
                u[rank..].fill(0.0);
                if !self.kernels.quantize(u, q) {
                    self.plan.fail(*token as usize);
                }
            }
        }
    }

    /// y += δ for every part in order; a task has some rows of one layer, so that no two touch the same.
    fn expand(&self, pool: &mut Pool, linears: &[Linear<'_>]) -> Result<(), CpuError> {
        let pieces = pool.threads() * 2;
        let changed: Vec<usize> = (0..linears.len())
            .filter(|index| self.changes_of(*index, linears[*index].projection).next().is_some())
            .collect();
        let jobs: Vec<Vec<Matmul<'_>>> = changed
            .iter()
            .map(|index| {
                let linear = &linears[*index];
                self.changes_of(*index, linear.projection)
                    .map(|(slot, change, tokens)| {
                        let start = self.between.q.at(self.between.at(slot, 0) / BLOCK);
                        let input = Input { start, stride: self.between.stride / BLOCK };
                        Matmul { accumulate: true, ..whole(&change.b, input, tokens, None, linear.out) }
                    })
                    .collect()
            })
            .collect();
        pool.run(jobs.len() * pieces, &|task, _| {
            let (jobs, piece) = (&jobs[task / pieces], task % pieces);
            for job in jobs {
                let tiles = piece_of(job.weights.shape.tiles(), piece, pieces);
                // SAFETY: tasks have disjoint rows of the output; inputs are complete.
                unsafe { self.kernels.matmul(&Matmul { tiles, ..job.clone() }) };
            }
        })
    }
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
    Matmul { weights, tiles, x: x.start, x_stride: x.stride, tokens, bias, accumulate: false, out }
}

fn piece_of(tiles: usize, piece: usize, pieces: usize) -> Range<usize> {
    tiles * piece / pieces..tiles * (piece + 1) / pieces
}

/// Runs jobs in pieces of about equal work.
///
/// # Safety
///
/// The pointers of the jobs are valid, their outputs disjoint and touched by nobody else.
unsafe fn run_jobs(kernels: Kernels, pool: &mut Pool, jobs: &[Matmul<'_>]) -> Result<(), CpuError> {
    let cost = |job: &Matmul<'_>| job.tiles.len() * job.weights.shape.blocks * job.tokens.len().max(1);
    let total: usize = jobs.iter().map(cost).sum();
    let wanted = pool.threads() * TASKS_PER_THREAD;
    let mut tasks = Vec::with_capacity(wanted + jobs.len());
    for (index, job) in jobs.iter().enumerate() {
        let pieces = (cost(job) * wanted).div_ceil(total.max(1)).clamp(1, job.tiles.len().max(1));
        tasks.extend((0..pieces).map(|piece| (index, piece_of(job.tiles.len(), piece, pieces))));
    }
    pool.run(tasks.len(), &|task, _| {
        let (index, tiles) = &tasks[task];
        // SAFETY: pieces of a job have disjoint rows; the rest is the caller's promise.
        unsafe { kernels.matmul(&Matmul { tiles: tiles.clone(), ..jobs[*index].clone() }) };
    })
}

/// Matrices that share an input, over some tokens, without adapters.
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
) -> Result<(), CpuError> {
    let jobs: Vec<Matmul<'_>> =
        matrices.iter().map(|(weights, out)| whole(weights, input, tokens, None, *out)).collect();
    // SAFETY: outputs are disjoint by the caller's promise, as is the rest.
    unsafe { run_jobs(kernels, pool, &jobs) }
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
    unsafe { run_jobs(kernels, pool, &[whole(weights, input, tokens, None, out)]) }
}
