//! Who runs in the next step.
//!
//! ```text
//!            push                 admit (pages, rows, turn)
//! client ──────────► FairQueue ───────────────────────────► running ── plan ─► rows ─► backend
//!                        ▲                                     │                         │
//!                        └──────── preempt (out of pages) ─────┤◄──── accept token ──────┘
//!                                                              └─► finished, failed, abandoned
//! ```
//! Every step is planned anew: rows join and leave at each. [`plan`] says how.

mod plan;
mod queue;
mod sequence;

use crate::{
    backend::{Identity, InferenceBackend, Limits, SeqId, Wanted},
    kv::PagePool,
    request::{FinishReason, GenerateError},
};
use queue::FairQueue;
pub(crate) use sequence::{Constraint, End, Sequence, Submission};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tributary_adapters::PageBudget;

/// How much of a backend a scheduler uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Width {
    /// Sequences running at once.
    pub(crate) running: usize,
    /// Tokens a step.
    pub(crate) step_tokens: usize,
    /// Tokens of one prompt a step.
    pub(crate) chunk: usize,
    /// Tokens a step may have for drafts to be in it: beyond, a token costs its own time. 0 for no drafts.
    pub(crate) light: usize,
    /// Whether pages are shared.
    pub(crate) share: bool,
}

/// A row of the next step: the running sequence at `index` runs its next `take` tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) index: usize,
    pub(crate) take: usize,
    pub(crate) wanted: Wanted,
}

/// What giving way, sharing and guessing did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Sequences that gave way.
    pub(crate) preemptions: u64,
    /// Prompt tokens of sequences admitted, and those that were not computed for them.
    pub(crate) prefix_queries: u64,
    pub(crate) prefix_hits: u64,
    /// Tokens of prompts that have an answer, and of answers.
    pub(crate) prompted: u64,
    pub(crate) generated: u64,
    /// Pages of prefixes dropped for room.
    pub(crate) evictions: u64,
    /// Rows with drafts, their draft tokens, and those that were chosen.
    pub(crate) drafts: u64,
    pub(crate) drafted: u64,
    pub(crate) drafts_right: u64,
}

#[derive(Debug)]
pub(crate) struct Scheduler {
    width: Width,
    identity: Identity,
    limits: Limits,
    queue: FairQueue<Sequence>,
    /// By priority, then in order of admission.
    running: Vec<Sequence>,
    pages: PagePool,
    /// Numbers of sequences, this engine's and others' that it may be given.
    ids: Arc<AtomicU64>,
    counts: Counts,
}

impl Scheduler {
    pub(crate) fn new(
        width: Width,
        limits: &Limits,
        identity: Identity,
        budget: Option<PageBudget>,
        ids: Arc<AtomicU64>,
    ) -> Self {
        Self {
            width,
            identity,
            limits: *limits,
            queue: FairQueue::new(),
            running: Vec::new(),
            pages: PagePool::new(
                limits.pages,
                limits.page_tokens,
                budget.filter(|_| limits.page_bytes > 0).map(|budget| (budget, limits.page_bytes)),
            ),
            ids,
            counts: Counts::default(),
        }
    }

    pub(crate) fn push(&mut self, submission: Submission) {
        let id = SeqId(self.ids.fetch_add(1, Ordering::Relaxed));
        let sequence = Sequence::new(id, submission, &self.identity, self.pages.page_tokens());
        self.carry(vec![sequence]);
    }

    /// Takes over what waited for a backend that is gone, or at another engine, in the order in which it came.
    pub(crate) fn carry(&mut self, waiting: Vec<Sequence>) {
        for sequence in waiting {
            // Numbers are given in order of arrival, over all engines: one that moves takes its place along.
            if let Some(sequence) = self.fit(sequence) {
                self.queue.push(sequence.tenant(), sequence.priority(), sequence.id.0, sequence);
            }
        }
    }

    /// A sequence as if let in under this backend's limits; it may have been under another's. What could never run fails, instead of
    /// blocking the line. None if it did.
    fn fit(&self, sequence: Sequence) -> Option<Sequence> {
        let context = self.limits.context.min(self.limits.pages.saturating_mul(self.limits.page_tokens));
        let len = u32::try_from(sequence.len()).unwrap_or(u32::MAX);
        if len >= context {
            sequence.fail(GenerateError::TooLong { prompt: len, context });
            return None;
        }
        let room = context.saturating_sub(sequence.request().prompt.len() as u32);
        if sequence.request().stop.max_tokens <= room {
            return Some(sequence);
        }
        if !sequence.is_new() {
            // What its answer was promised is in what was hashed.
            sequence.fail(GenerateError::Backend("the one that goes on takes a shorter context".to_owned()));
            return None;
        }
        let (id, mut submission) = (sequence.id, sequence.submission);
        submission.request.stop.max_tokens = room;
        Some(Sequence::new(id, submission, &self.identity, self.pages.page_tokens()))
    }

    /// Half of those that wait and never ran, at least one and at most so many: the ones whose turn would come last.
    pub(crate) fn spare(&mut self, most: usize) -> Vec<Sequence> {
        let new = self.queue.iter().filter(|sequence| sequence.is_new());
        let mut waiting: Vec<_> = new.map(|sequence| (sequence.priority(), sequence.id)).collect();
        waiting.sort_unstable();
        let spared = waiting.split_off((waiting.len() / 2).max(waiting.len().saturating_sub(most)));
        self.queue.take_if(|sequence| spared.binary_search(&(sequence.priority(), sequence.id)).is_ok())
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.queue.is_empty()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn running(&self) -> &[Sequence] {
        &self.running
    }

    pub(crate) fn running_mut(&mut self, index: usize) -> &mut Sequence {
        &mut self.running[index]
    }

    pub(crate) const fn pages(&self) -> &PagePool {
        &self.pages
    }

    /// What was counted since the last call.
    pub(crate) fn take_counts(&mut self) -> Counts {
        let evictions = self.pages.take_evictions();
        Counts { evictions, ..std::mem::take(&mut self.counts) }
    }

    /// Offers what a running sequence has computed to others.
    pub(crate) fn publish(&mut self, index: usize) {
        if !self.width.share {
            return;
        }
        while let Some((page, key)) = self.running[index].next_full() {
            self.pages.publish(page, key);
        }
    }

    /// Counts what a step has added to an answer of so many tokens, or that it ended it.
    pub(crate) fn count(&mut self, index: usize, before: usize, ended: bool) {
        let sequence = &mut self.running[index];
        let added = sequence.answer().len().saturating_sub(before);
        if before == 0 && (added > 0 || ended) {
            self.counts.prompted += sequence.prompt_tokens() as u64;
        }
        self.counts.generated += added as u64;
        if added > 0
            && let Some(since) = sequence.lap()
        {
            crate::metrics::next_token(since);
        }
    }

    /// Notes how a draft fared.
    pub(crate) fn judge(&mut self, index: usize, drafted: usize, right: usize) {
        self.running[index].learn(drafted, right);
        self.counts.drafts += 1;
        self.counts.drafted += drafted as u64;
        self.counts.drafts_right += right as u64;
    }

    /// Ends whatever nobody waits for.
    pub(crate) fn sweep(&mut self, backend: &mut dyn InferenceBackend) {
        let now = Instant::now();
        for sequence in self.queue.take_if(|sequence| sequence.abandoned(now).is_some()) {
            let reason = sequence.abandoned(now).unwrap_or(FinishReason::Cancelled);
            sequence.finish(reason, None);
        }
        for index in (0..self.running.len()).rev() {
            if let Some(reason) = self.running[index].abandoned(now) {
                self.remove(index, backend).finish(reason, None);
            }
        }
    }

    /// Takes a sequence out of the running ones, its pages freed.
    pub(crate) fn remove(&mut self, index: usize, backend: &mut dyn InferenceBackend) -> Sequence {
        let mut sequence = self.running.remove(index);
        self.pages.release(&mut sequence.pages);
        backend.release(sequence.id);
        self.queue.finished(sequence.tenant());
        sequence
    }

    /// Fails everything that runs: the backend that held its state is gone.
    pub(crate) fn fail_running(&mut self, error: &GenerateError) {
        for mut sequence in self.running.drain(..) {
            self.pages.release(&mut sequence.pages);
            self.queue.finished(sequence.tenant());
            sequence.fail(error.clone());
        }
    }

    /// Those that wait, for the next backend to start with. A preempted one starts over: its answer comes
    /// out the same, so what was sent already is kept.
    pub(crate) fn into_waiting(mut self) -> Vec<Sequence> {
        let mut waiting = self.queue.take_if(|_| true);
        waiting.sort_unstable_by_key(|sequence| sequence.id);
        waiting
    }

    /// Gives memory back that adapters need: pages that nobody holds, and once a load has waited its turn those of running sequences, of
    /// least priority and admitted last first.
    fn give_back(&mut self, backend: &mut dyn InferenceBackend) {
        let Some(due) = self.pages.due() else { return };
        let mut given = self.pages.bare(due.bytes, due.older);
        while due.presses && self.pages.bytes(&given) < due.bytes && self.running.len() > 1 {
            self.preempt(self.running.len() - 1, backend);
            given.extend(self.pages.bare(due.bytes - self.pages.bytes(&given), u64::MAX));
        }
        if !given.is_empty() {
            backend.discard(&given);
            self.pages.give_back(given);
        }
    }

    fn preempt(&mut self, index: usize, backend: &mut dyn InferenceBackend) {
        let mut sequence = self.running.remove(index);
        self.pages.release(&mut sequence.pages);
        backend.release(sequence.id);
        sequence.preempt();
        self.counts.preemptions += 1;
        self.queue.put_back(sequence.tenant(), sequence.priority(), sequence);
    }
}
