//! Linear layers of a step: base weights and adapters, shared out to the threads.
//!
//! ```text
//! x ──┬─> tiles of every base matrix ────────────────────────────┐
//!     ├─> adapters of few tokens: A ─> u ─> Q8(u) ─> B ─> δ ─────┴─> y += δ by what reads y next
//!     └─> other adapters: A ─> u ─> Q8(u) ─────────────────────> B ─> y += δ, parts in request order
//! ```
//!
//! What is left of the last arrow is one round of tasks; without other adapters that round is all. Then each place of the compositions is a
//! round: its adapters change different tokens, so one task streams one adapter's B from end to end.
//! A DoRA adapter scales what comes out, and the bias follows: its tokens go through a biased matrix apart from the others.

use super::{
    delta::Deltas,
    plan::{Group, Plan},
    shared::Shared,
};
use crate::{
    CpuError,
    blocks::BLOCK,
    kernels::{self, Ahead, Kernels, Matmul, Output, QBlock, Span},
    lora::{Change, Prepared},
    packed::Packed,
    pool::Pool,
    simd::LANES,
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
        let others = Adapters {
            round: self,
            linears,
            input,
            shrinks: &shrinks,
            each: batch(self.plan.beside.len(), pool.threads()),
            batch: batch(shrinks.len(), pool.threads()),
        };
        // SAFETY: outputs are disjoint: each base matrix has its own, each slot and token of `between` likewise.
        unsafe { run_jobs(self.kernels, pool, &jobs, Some(&others))? };
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

    /// All that an adapter of few tokens adds: its A and B as they lie in memory, unless they were fetched.
    fn beside(&self, linears: &[Linear<'_>], index: usize, input: Input, fetched: bool) {
        let Group { adapter, tokens } = &self.plan.beside[index];
        let after = self.plan.beside.get(index + 1);
        let after = after.and_then(|group| changes(group.adapter, self.layer, linears).next());
        let mut all = changes(adapter, self.layer, linears).peekable();
        while let Some((slot, projection, change)) = all.next() {
            let shrink = Shrink { index: slot, slot, change, tokens };
            let after = all.peek().or(after.as_ref()).map(|(.., next)| &next.a);
            let ahead = |next: Option<&Packed>| if fetched { Ahead::Nothing } else { then(next) };
            self.shrink(&shrink, ahead(Some(&change.b)), input);
            let out = self.deltas.output(projection);
            let input = self.between.input(slot);
            // SAFETY: no two tasks have the same token; the input is complete.
            unsafe {
                let job = whole(&change.b, input, tokens, None, out);
                self.kernels.matmul(&Matmul { ahead: ahead(after), ..job });
            }
        }
    }

    /// u = A · x and Q8(u), padded with zeros to whole blocks.
    fn shrink(&self, shrink: &Shrink<'_>, ahead: Ahead, input: Input) {
        let Shrink { slot, change, tokens, .. } = *shrink;
        let start = self.between.u.at(self.between.at(slot, 0));
        let out = Output { start, stride: self.between.stride, whole: true };
        // SAFETY: no two tasks have the same slot and token; the input is complete.
        unsafe { self.kernels.matmul(&Matmul { ahead, ..whole(&change.a, input, tokens, None, out) }) };
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
                let ahead = then(changes.get((at + 1) / pieces).map(|next| &next.change.b));
                // SAFETY: tasks differ in the layer, the rows or the tokens of the output; inputs are complete.
                unsafe {
                    self.kernels.matmul(&Matmul { ahead, ..job.clone() });
                    if let Some(gain) = change.gain.as_deref() {
                        Scaling { gain, bias: linear.bias }.apply(&job, tiles);
                    }
                }
            }
        })
    }
}

/// Tasks beside the base matrices: adapters of few tokens from end to end, and every other adapter's A.
struct Adapters<'a> {
    round: &'a Round<'a>,
    linears: &'a [Linear<'a>],
    input: Input,
    shrinks: &'a [Shrink<'a>],
    /// How many adapters of few tokens are one task, and how many of the others' A.
    each: usize,
    batch: usize,
}

impl Adapters<'_> {
    fn count(&self) -> usize {
        self.round.plan.beside.len().div_ceil(self.each) + self.shrinks.len().div_ceil(self.batch)
    }

    /// What a task is made of: adapters of few tokens, or A's of others.
    fn of(&self, task: usize) -> (Range<usize>, Range<usize>) {
        let part = |task: usize, each: usize, all: usize| all.min(task * each)..all.min((task + 1) * each);
        let beside = self.round.plan.beside.len();
        match task.checked_sub(beside.div_ceil(self.each)) {
            None => (part(task, self.each, beside), 0..0),
            Some(task) => (0..0, part(task, self.batch, self.shrinks.len())),
        }
    }

    fn run(&self, task: usize, fetched: bool) {
        let (beside, shrinks) = self.of(task);
        beside.for_each(|index| self.round.beside(self.linears, index, self.input, fetched));
        for index in shrinks {
            let next = self.shrinks.get(index + 1).map(|next| &next.change.a);
            let ahead = if fetched { Ahead::Nothing } else { then(next) };
            self.round.shrink(&self.shrinks[index], ahead, self.input);
        }
    }

    /// What a task reads, in its order.
    fn reads(&self, task: usize, spans: &mut Vec<Span>) {
        let mut add = |start: *const u8, bytes: usize| match spans.last_mut() {
            // The matrices of an adapter's layer mostly lie one behind the other.
            Some(last) if last.start.wrapping_add(last.bytes) == start => last.bytes += bytes,
            _ => spans.push(Span { start, bytes }),
        };
        let (beside, shrinks) = self.of(task);
        for group in &self.round.plan.beside[beside] {
            for (.., Change { a, b, .. }) in changes(group.adapter, self.round.layer, self.linears) {
                add(a.tile(0), a.shape.bytes() + b.shape.bytes());
            }
        }
        for Shrink { change: Change { a, .. }, .. } in &self.shrinks[shrinks] {
            add(a.tile(0), a.shape.bytes());
        }
    }

    /// What tasks read, if it is worth fetching while a piece of a base matrix runs: where memory has nothing to do meanwhile, and the
    /// second cache has room. Whether it is.
    fn fetched(&self, tasks: Range<usize>, spans: &mut Vec<Span>) -> bool {
        let mut own = Vec::new();
        if self.round.plan.all.len() > kernels::WIDE {
            tasks.for_each(|task| self.reads(task, &mut own));
        }
        let worth = !own.is_empty() && own.iter().map(|span| span.bytes).sum::<usize>() <= ROOM;
        if worth {
            spans.append(&mut own);
        }
        worth
    }
}

fn then(next: Option<&Packed>) -> Ahead {
    next.map_or(Ahead::Nothing, |next| Ahead::Then(next.tile(0)))
}

/// What an adapter changes of layers that run together: which of them, and how.
fn changes<'a>(
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
struct Shrink<'a> {
    /// Which of the layers that run together.
    index: usize,
    /// Where its intermediate result goes.
    slot: usize,
    change: &'a Change,
    tokens: &'a [u32],
}

/// How many changes are one task: between tasks the processor cannot look ahead.
fn batch(changes: usize, threads: usize) -> usize {
    (changes / (threads * TASKS_PER_THREAD)).max(1)
}

/// Tokens of a task of one adapter.
const CHUNK: usize = 64;
/// Bytes of B from which it is worth another round of tasks to divide it.
const HEAVY: usize = 64 << 10;
/// Bytes of adapters that are fetched while a piece of a base matrix runs: with what streams through, a part of any second cache.
const ROOM: usize = 256 << 10;

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
        ahead: Ahead::Stream,
        later: &[],
        out,
    }
}

fn piece_of(tiles: usize, piece: usize, pieces: usize) -> Range<usize> {
    tiles * piece / pieces..tiles * (piece + 1) / pieces
}

/// Runs jobs in pieces of about equal work, and between them what reads the adapters, of which each thread gets its share: the pieces
/// compute, so they fetch what the tasks after them read.
///
/// # Safety
///
/// The pointers of the jobs are valid, their outputs disjoint and touched by nobody else.
unsafe fn run_jobs(
    kernels: Kernels,
    pool: &mut Pool,
    jobs: &[Matmul<'_>],
    others: Option<&Adapters<'_>>,
) -> Result<(), CpuError> {
    let cost = |job: &Matmul<'_>| job.tiles.len() * job.weights.shape.blocks * job.tokens.len().max(1);
    let total: usize = jobs.iter().map(cost).sum();
    let threads = pool.threads();
    let wanted = threads * TASKS_PER_THREAD;
    let mut pieces = Vec::with_capacity(wanted + jobs.len());
    for (index, job) in jobs.iter().enumerate() {
        let count = (cost(job) * wanted).div_ceil(total.max(1)).clamp(1, job.tiles.len().max(1));
        pieces.extend((0..count).map(|piece| (index, piece_of(job.tiles.len(), piece, count))));
    }
    let (mut order, mut spans) = (Vec::with_capacity(pieces.len()), Vec::new());
    for (piece, after) in deal(pieces.len(), others.map_or(0, Adapters::count), threads) {
        let first = spans.len();
        let fetched =
            piece.is_some() && others.is_some_and(|others| others.fetched(after.clone(), &mut spans));
        order.extend(piece.map(|piece| Task::Base(piece, first..spans.len())));
        order.extend(
            others
                .into_iter()
                .flat_map(|others| after.clone().map(move |task| Task::Adapters(others, task, fetched))),
        );
    }
    pool.run(order.len(), &|task, _| match &order[task] {
        Task::Base(piece, later) => {
            let ((index, tiles), later) = (&pieces[*piece], &spans[later.clone()]);
            // SAFETY: pieces of a job have disjoint rows; the rest is the caller's promise.
            unsafe { kernels.matmul(&Matmul { tiles: tiles.clone(), later, ..jobs[*index].clone() }) };
        }
        Task::Adapters(others, task, fetched) => others.run(*task, *fetched),
    })
}

/// What a thread takes.
enum Task<'a> {
    /// A piece of a base matrix, and which spans it fetches.
    Base(usize, Range<usize>),
    /// Adapters, and whether what they read was fetched.
    Adapters(&'a Adapters<'a>, usize, bool),
}

/// Pieces of base matrices and the tasks that come after each, in an order of which the pool gives each thread an equal stretch. Where a thread
/// has no piece, its tasks come after none.
fn deal(pieces: usize, tasks: usize, threads: usize) -> Vec<(Option<usize>, Range<usize>)> {
    let mut turns = Vec::with_capacity(pieces.max(threads));
    for thread in 0..threads {
        let (base, own) = (piece_of(pieces, thread, threads), piece_of(tasks, thread, threads));
        if base.is_empty() {
            turns.push((None, own.clone()));
        }
        for (at, piece) in base.clone().enumerate() {
            let part = piece_of(own.len(), at, base.len());
            turns.push((Some(piece), own.start + part.start..own.start + part.end));
        }
    }
    turns
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
    unsafe { run_jobs(kernels, pool, &jobs, None) }
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
    unsafe { run_jobs(kernels, pool, &[whole(weights, input, tokens, None, out)], None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_dealt_once() {
        for (pieces, tasks, threads) in
            (0..12).flat_map(|a| (0..12).flat_map(move |b| (1..6).map(move |c| (a, b, c))))
        {
            let turns = deal(pieces, tasks, threads);
            let dealt: Vec<usize> = turns.iter().filter_map(|(piece, _)| *piece).collect();
            assert_eq!(dealt, (0..pieces).collect::<Vec<_>>());
            let after: Vec<usize> = turns.into_iter().flat_map(|(_, after)| after).collect();
            assert_eq!(
                after,
                (0..tasks).collect::<Vec<_>>(),
                "{pieces} pieces, {tasks} tasks, {threads} threads"
            );
        }
    }
}
