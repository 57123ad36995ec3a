//! Who runs in the next step.
//!
//! ```text
//!            push                 admit (pages, rows, turn)
//! client ──────────► FairQueue ───────────────────────────► running ── plan ─► rows ─► backend
//!                        ▲                                     │                         │
//!                        └──────── preempt (out of pages) ─────┤◄──── accept token ──────┘
//!                                                              └─► finished, failed, abandoned
//! ```
//! Every step is planned anew: rows join and leave at each. Rows that decode come first, one token each;
//! what is left of the token budget goes to prompts in chunks, oldest first.

mod queue;
mod sequence;

use crate::{
    backend::{Admission, BackendError, Identity, InferenceBackend, Limits, SeqId, Wanted},
    pages::PagePool,
    request::{FinishReason, GenerateError},
};
use queue::FairQueue;
pub(crate) use sequence::{Constraint, End, Sequence, Submission};
use std::time::Instant;

/// How much of a backend a scheduler uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Width {
    /// Sequences running at once.
    pub(crate) running: usize,
    /// Tokens a step.
    pub(crate) step_tokens: usize,
    /// Tokens of one prompt a step.
    pub(crate) chunk: usize,
}

/// A row of the next step: the running sequence at `index` runs its next `take` tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) index: usize,
    pub(crate) take: usize,
    pub(crate) wanted: Wanted,
}

#[derive(Debug)]
pub(crate) struct Scheduler {
    width: Width,
    identity: Identity,
    queue: FairQueue<Sequence>,
    /// In order of admission.
    running: Vec<Sequence>,
    pages: PagePool,
    next_id: u64,
    preemptions: u64,
}

impl Scheduler {
    pub(crate) fn new(width: Width, limits: &Limits, identity: Identity) -> Self {
        Self {
            width,
            identity,
            queue: FairQueue::new(),
            running: Vec::new(),
            pages: PagePool::new(limits.pages, limits.page_tokens),
            next_id: 0,
            preemptions: 0,
        }
    }

    pub(crate) fn push(&mut self, submission: Submission) {
        let sequence = Sequence::new(SeqId(self.next_id), submission, &self.identity);
        self.next_id += 1;
        self.queue.push(sequence.tenant(), sequence);
    }

    /// Takes over what waited for a backend that is gone.
    pub(crate) fn carry(&mut self, waiting: Vec<Sequence>) {
        for sequence in waiting {
            self.next_id = self.next_id.max(sequence.id.0 + 1);
            self.queue.push(sequence.tenant(), sequence);
        }
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

    pub(crate) fn page_usage(&self) -> f64 {
        self.pages.usage()
    }

    pub(crate) fn preemptions(&self) -> u64 {
        self.preemptions
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

    /// Admits whom there is room for and lays out the next step. Empty when every running sequence waits
    /// for its adapters, or nothing runs.
    pub(crate) fn plan(&mut self, backend: &mut dyn InferenceBackend) -> Result<Vec<Planned>, BackendError> {
        self.admit(backend)?;
        self.make_ready(backend)?;
        let mut rows = Vec::new();
        let mut budget = self.width.step_tokens;
        self.plan_decodes(&mut rows, &mut budget, backend);
        self.plan_prompts(&mut rows, &mut budget);
        let now = Instant::now();
        for row in &rows {
            let sequence = &mut self.running[row.index];
            sequence.mark_started(now);
            self.queue.charge(sequence.tenant(), row.take as u64);
        }
        Ok(rows)
    }

    /// Lets sequences in, in turn, while rows and pages last. The one whose turn it is waits rather than
    /// being passed by smaller ones.
    fn admit(&mut self, backend: &mut dyn InferenceBackend) -> Result<(), BackendError> {
        while self.running.len() < self.width.running {
            let Some(next) = self.queue.peek() else { break };
            // Room for what is there and its first token; pages held by others' prompts are spoken for.
            let spoken: usize = self
                .running
                .iter()
                .map(|sequence| self.pages.needed(sequence.len() + 1).saturating_sub(sequence.pages.len()))
                .sum();
            if spoken + self.pages.needed(next.len() + 1) > self.pages.free() {
                break;
            }
            let Some(mut sequence) = self.queue.pop() else { break };
            let admission = backend.admit(sequence.id, sequence.request().adapters.parts())?;
            sequence.ready = admission == Admission::Ready;
            self.running.push(sequence);
        }
        Ok(())
    }

    fn make_ready(&mut self, backend: &mut dyn InferenceBackend) -> Result<(), BackendError> {
        for sequence in self.running.iter_mut().filter(|sequence| !sequence.ready) {
            let admission = backend.admit(sequence.id, sequence.request().adapters.parts())?;
            sequence.ready = admission == Admission::Ready;
        }
        Ok(())
    }

    fn plan_decodes(
        &mut self,
        rows: &mut Vec<Planned>,
        budget: &mut usize,
        backend: &mut dyn InferenceBackend,
    ) {
        let mut index = 0;
        while index < self.running.len() {
            let sequence = &self.running[index];
            if sequence.ready && sequence.pending().len() == 1 && *budget > 0 {
                if !self.grow(index, 1, backend) {
                    // The sequence itself was the last one admitted and gave way.
                    continue;
                }
                rows.push(Planned { index, take: 1, wanted: Wanted::Last });
                *budget -= 1;
            }
            index += 1;
        }
    }

    fn plan_prompts(&mut self, rows: &mut Vec<Planned>, budget: &mut usize) {
        for index in 0..self.running.len() {
            let sequence = &mut self.running[index];
            let pending = sequence.pending().len();
            if !sequence.ready || pending < 2 || *budget == 0 {
                continue;
            }
            let take = pending.min(*budget).min(self.width.chunk);
            let (computed, table) = (sequence.computed, &mut sequence.pages);
            if !self.pages.grow(table, computed + take) {
                continue;
            }
            let wanted = if take == pending { Wanted::Last } else { Wanted::None };
            rows.push(Planned { index, take, wanted });
            *budget -= take;
        }
    }

    /// Pages for the next `take` tokens of a running sequence, taken from those admitted last if need be.
    /// False when the sequence had to give way itself. Rows planned so far are of sequences before `index`,
    /// so none of them gives way.
    fn grow(&mut self, index: usize, take: usize, backend: &mut dyn InferenceBackend) -> bool {
        loop {
            let sequence = &mut self.running[index];
            let tokens = sequence.computed + take;
            if self.pages.grow(&mut sequence.pages, tokens) {
                return true;
            }
            let last = self.running.len() - 1;
            self.preempt(last, backend);
            if last == index {
                return false;
            }
        }
    }

    fn preempt(&mut self, index: usize, backend: &mut dyn InferenceBackend) {
        let mut sequence = self.running.remove(index);
        self.pages.release(&mut sequence.pages);
        backend.release(sequence.id);
        sequence.preempt();
        self.preemptions += 1;
        self.queue.put_back(sequence.tenant(), sequence);
    }
}
