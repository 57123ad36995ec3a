//! One round of tasks: base matrices in pieces, and between the pieces what reads the adapters.
//!
//! ```text
//! thread 0 │ piece ─ adapters ─ piece ─ adapters ─ … │
//! thread 1 │ piece ─ adapters ─ piece ─ adapters ─ … │   each fetches, while it computes a piece, what its adapters after that read
//! ```

use super::linear::{Input, Linear, Round, Shrink, changes};
use crate::{
    CpuError,
    kernels::{Kernels, Matmul, Span},
    lora::Change,
    packed::Packed,
    pool::Pool,
};
use std::ops::Range;

/// Tasks handed out per thread: enough that a thread put aside is made up for.
const TASKS_PER_THREAD: usize = 4;
/// Bytes of adapters that are fetched during a piece: with what streams through, a part of any second cache.
const ROOM: usize = 256 << 10;

/// How many changes are one task: between tasks the processor cannot look ahead.
pub(super) fn batch(changes: usize, threads: usize) -> usize {
    (changes / (threads * TASKS_PER_THREAD)).max(1)
}

pub(super) fn piece_of(tiles: usize, piece: usize, pieces: usize) -> Range<usize> {
    tiles * piece / pieces..tiles * (piece + 1) / pieces
}

/// Tasks beside the base matrices: adapters of few tokens from end to end, and every other adapter's A.
pub(super) struct Adapters<'a> {
    round: &'a Round<'a>,
    linears: &'a [Linear<'a>],
    input: Input,
    shrinks: &'a [Shrink<'a>],
    /// How many adapters of few tokens are one task.
    beside_each: usize,
    /// How many of the others' A are.
    shrinks_each: usize,
}

impl<'a> Adapters<'a> {
    pub(super) fn new(
        round: &'a Round<'a>,
        linears: &'a [Linear<'a>],
        input: Input,
        shrinks: &'a [Shrink<'a>],
        threads: usize,
    ) -> Self {
        let beside_each = batch(round.plan.beside.len(), threads);
        Self { round, linears, input, shrinks, beside_each, shrinks_each: batch(shrinks.len(), threads) }
    }

    fn count(&self) -> usize {
        self.round.plan.beside.len().div_ceil(self.beside_each)
            + self.shrinks.len().div_ceil(self.shrinks_each)
    }

    /// What a task is made of: adapters of few tokens, or A's of others.
    fn parts(&self, task: usize) -> (Range<usize>, Range<usize>) {
        let part = |task: usize, each: usize, all: usize| all.min(task * each)..all.min((task + 1) * each);
        let beside = self.round.plan.beside.len();
        match task.checked_sub(beside.div_ceil(self.beside_each)) {
            None => (part(task, self.beside_each, beside), 0..0),
            Some(task) => (0..0, part(task, self.shrinks_each, self.shrinks.len())),
        }
    }

    fn run(&self, task: usize) {
        let (beside, shrinks) = self.parts(task);
        beside.for_each(|index| self.round.beside(self.linears, index, self.input));
        for index in shrinks {
            let next = self.shrinks.get(index + 1).map(|next| next.change.a.tile(0));
            self.round.shrink(&self.shrinks[index], next, self.input);
        }
    }

    /// What tasks read, in their order: as much of it as there is room for.
    fn reads(&self, tasks: Range<usize>) -> Vec<Span> {
        let mut spans = Spans::default();
        for (beside, shrinks) in tasks.map(|task| self.parts(task)) {
            for group in &self.round.plan.beside[beside] {
                for (.., Change { a, b, .. }) in changes(group.adapter, self.round.layer, self.linears) {
                    // B lies behind A.
                    spans.add(a, a.shape.bytes() + b.shape.bytes());
                }
            }
            for Shrink { change: Change { a, .. }, .. } in &self.shrinks[shrinks] {
                spans.add(a, a.shape.bytes());
            }
        }
        spans.all
    }
}

#[derive(Default)]
struct Spans {
    all: Vec<Span>,
    bytes: usize,
}

impl Spans {
    fn add(&mut self, first: &Packed, bytes: usize) {
        let start = first.tile(0).addr();
        // Tokens of an adapter that are divided among tasks read the same.
        if self.bytes + bytes > ROOM || self.all.last().is_some_and(|last| last.start == start) {
            return;
        }
        self.bytes += bytes;
        match self.all.last_mut() {
            // The matrices of an adapter's layer mostly lie one behind the other.
            Some(last) if last.start + last.bytes == start => last.bytes += bytes,
            _ => self.all.push(Span { start, bytes }),
        }
    }
}

enum Task<'a> {
    /// A piece of a base matrix, what is read after it, and where the thread goes on with base matrices.
    Base {
        piece: usize,
        later: Vec<Span>,
        onward: Option<usize>,
    },
    Adapters {
        all: &'a Adapters<'a>,
        task: usize,
    },
}

/// Matrices in pieces of about equal work: which of them, and which of its tiles. They are given by their tiles and what one costs.
fn cut(matrices: impl Iterator<Item = (usize, usize)> + Clone, wanted: usize) -> Vec<(usize, Range<usize>)> {
    let cost = |(tiles, each): (usize, usize)| tiles * each;
    let total: usize = matrices.clone().map(cost).sum();
    let mut pieces = Vec::with_capacity(wanted + 4);
    for (index, matrix) in matrices.enumerate() {
        let (tiles, _) = matrix;
        let count = (cost(matrix) * wanted).div_ceil(total.max(1)).clamp(1, tiles.max(1));
        pieces.extend((0..count).map(|piece| (index, piece_of(tiles, piece, count))));
    }
    pieces
}

/// Where each thread begins to read some matrices.
fn begins(matrices: &[&Packed], threads: usize) -> Vec<usize> {
    let each = matrices.iter().map(|matrix| (matrix.shape.tiles(), matrix.shape.blocks));
    let pieces = cut(each, threads * TASKS_PER_THREAD);
    let own = |thread| pieces.get(piece_of(pieces.len(), thread, threads).start);
    let begin = |(index, tiles): &(usize, Range<usize>)| matrices[*index].tile(tiles.start).addr();
    (0..threads).filter_map(|thread| own(thread).map(begin)).collect()
}

/// Runs jobs in pieces of about equal work, and with them the adapters, of which each thread gets its share. `after` are the matrices of
/// the next round.
///
/// # Safety
///
/// The pointers of the jobs are valid, their outputs disjoint and touched by nobody else.
pub(super) unsafe fn run_jobs(
    kernels: Kernels,
    pool: &mut Pool,
    jobs: &[Matmul<'_>],
    adapters: Option<&Adapters<'_>>,
    after: &[&Packed],
) -> Result<(), CpuError> {
    let threads = pool.threads();
    let each = |job: &Matmul<'_>| (job.tiles.len(), job.weights.shape.blocks * job.tokens.len().max(1));
    let pieces = cut(jobs.iter().map(each), threads * TASKS_PER_THREAD);
    let begins = begins(after, threads);
    let onward = |piece| {
        let last = |thread: &usize| piece_of(pieces.len(), *thread, threads).end == piece + 1;
        (0..threads).find(last).and_then(|thread| begins.get(thread).copied())
    };
    let count = adapters.map_or(0, Adapters::count);
    let mut order = Vec::with_capacity(pieces.len() + count);
    for (piece, after) in deal(pieces.len(), count, threads) {
        if let Some(piece) = piece {
            let later = adapters.map_or(Vec::new(), |adapters| adapters.reads(after.clone()));
            order.push(Task::Base { piece, later, onward: onward(piece) });
        }
        if let Some(all) = adapters {
            order.extend(after.map(|task| Task::Adapters { all, task }));
        }
    }
    pool.run(order.len(), &|task, _| match &order[task] {
        Task::Base { piece, later, onward } => {
            let (index, tiles) = pieces[*piece].clone();
            let job = Matmul { tiles, later, onward: *onward, ..jobs[index].clone() };
            // SAFETY: pieces of a job have disjoint rows; the rest is the caller's promise.
            unsafe { kernels.matmul(&job) };
        }
        Task::Adapters { all, task } => all.run(*task),
    })
}

/// Pieces and the adapters' tasks that come after each, about as the pool deals them to the threads: at a border a task may fall to the
/// neighbour. Where a thread has no piece, its tasks come after none.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_are_cut_without_gaps() {
        for matrices in [
            vec![(36, 18), (12, 18), (12, 18)],
            vec![(96, 18), (96, 18)],
            vec![(36, 48)],
            vec![(1, 1), (3000, 18)],
            vec![],
        ] {
            for wanted in [1, 4, 8, 64] {
                let mut tiles = cut(matrices.iter().copied(), wanted)
                    .into_iter()
                    .flat_map(|(matrix, tiles)| tiles.map(move |tile| (matrix, tile)));
                let all = matrices
                    .iter()
                    .enumerate()
                    .flat_map(|(matrix, (tiles, _))| (0..*tiles).map(move |tile| (matrix, tile)));
                assert!(all.into_iter().all(|tile| tiles.next() == Some(tile)) && tiles.next().is_none());
            }
        }
    }

    #[test]
    fn everything_is_dealt_once() {
        for (pieces, tasks, threads) in
            (0..12).flat_map(|a| (0..12).flat_map(move |b| (1..6).map(move |c| (a, b, c))))
        {
            let turns = deal(pieces, tasks, threads);
            let dealt: Vec<usize> = turns.iter().filter_map(|(piece, _)| *piece).collect();
            assert_eq!(dealt, (0..pieces).collect::<Vec<_>>());
            let after: Vec<usize> = turns.into_iter().flat_map(|(_, after)| after).collect();
            let case = format!("{pieces} pieces, {tasks} tasks, {threads} threads");
            assert_eq!(after, (0..tasks).collect::<Vec<_>>(), "{case}");
        }
    }
}
