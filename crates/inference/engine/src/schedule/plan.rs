//! The rows of one step.
//!
//! In this order, while the budget of tokens lasts: a token for every sequence that decodes; chunks of prompts, oldest first; and
//! in a step that is still light, drafts.
//!
//! Sequences with the same prefix compute it once. What is published is adopted before a chunk is planned; of several that stand at
//! the same page, not published yet, the first computes it in this step and the others wait for it. A sequence waits only for
//! a row of the very step that is planned, so somebody always gets on.

use super::{Planned, Scheduler, Sequence};
use crate::{
    backend::{Admission, BackendError, InferenceBackend, Wanted},
    kv::{PagePool, PrefixKey},
};
use alloy_primitives::B256;
use std::{collections::HashSet, time::Instant};

/// Tokens of a prompt whose logits are looked at in one step: each position has as many as there are tokens.
const SCORED: usize = 16;

impl Scheduler {
    /// Admits whom there is room for and lays out the next step. Empty when every running sequence waits
    /// for its adapters, or nothing runs.
    pub(crate) fn plan(&mut self, backend: &mut dyn InferenceBackend) -> Result<Vec<Planned>, BackendError> {
        self.give_back(backend);
        self.admit(backend)?;
        self.make_ready(backend)?;
        let mut rows = Vec::new();
        let mut budget = self.width.step_tokens;
        self.plan_decodes(&mut rows, &mut budget, backend);
        let decodes = rows.len();
        self.plan_prompts(&mut rows, &mut budget);
        let planned: usize = rows.iter().map(|row| row.take).sum();
        self.plan_drafts(&mut rows[..decodes], budget.min(self.width.light.saturating_sub(planned)));
        let now = Instant::now();
        for row in &rows {
            let sequence = &mut self.running[row.index];
            sequence.mark_started(now);
            self.queue.charge(sequence.tenant(), row.take as u64);
        }
        self.pages.note_idle();
        Ok(rows)
    }

    /// Lets sequences in, in turn, while rows and pages last. The one whose turn it is waits rather than
    /// being passed by smaller ones.
    fn admit(&mut self, backend: &mut dyn InferenceBackend) -> Result<(), BackendError> {
        let mut adapters: HashSet<B256> = self.running.iter().flat_map(Sequence::adapters).collect();
        let mut admitted = false;
        while self.running.len() < self.width.running {
            let at_hand =
                |sequence: &Sequence| sequence.adapters().all(|adapter| adapters.contains(&adapter));
            let Some(turn) = self.queue.next(at_hand) else { break };
            let Some(next) = self.queue.get_mut(&turn) else { break };
            // Room for what is there and its first token; pages held by others' prompts are spoken for. A prefix that
            // somebody holds costs nothing, one that nobody holds is no longer available once it is adopted.
            let (held, idle) = if self.width.share { prefix(&self.pages, next) } else { (0, 0) };
            let needed = self.pages.needed(next.len() + 1) - held - idle;
            let spoken: usize = self
                .running
                .iter()
                .map(|sequence| self.pages.needed(sequence.len() + 1).saturating_sub(sequence.pages.len()))
                .sum();
            if spoken + needed + idle > self.pages.available() {
                break;
            }
            let Some(mut sequence) = self.queue.take(&turn) else { break };
            if sequence.is_new() {
                self.counts.prefix_queries += sequence.len() as u64;
            }
            if self.width.share {
                self.counts.prefix_hits += adopt(&mut self.pages, &mut sequence);
            }
            let admission = backend.admit(sequence.id, sequence.request().adapters.parts())?;
            sequence.ready = admission == Admission::Ready;
            adapters.extend(sequence.adapters());
            self.running.push(sequence);
            admitted = true;
        }
        if admitted {
            self.running.sort_by_key(Sequence::priority);
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
            let sequence = &mut self.running[index];
            sequence.forget_draft();
            if sequence.ready && sequence.pending().len() == 1 && *budget > 0 {
                if !self.grow(index, 1, backend) {
                    // The sequence itself was the one that had to give way.
                    continue;
                }
                rows.push(Planned { index, take: 1, wanted: Wanted::Last });
                *budget -= 1;
            }
            index += 1;
        }
    }

    fn plan_prompts(&mut self, rows: &mut Vec<Planned>, budget: &mut usize) {
        let mut computing: HashSet<PrefixKey> = HashSet::new();
        for index in 0..self.running.len() {
            let sequence = &mut self.running[index];
            if !sequence.ready || sequence.pending().len() < 2 || *budget == 0 {
                continue;
            }
            let mut page = None;
            let scores = sequence.scores();
            if self.width.share && !scores {
                self.counts.prefix_hits += adopt(&mut self.pages, sequence);
                page = sequence.page_to_fill();
                let waits = |key| sequence.at_page_start() && computing.contains(&key);
                if page.is_some_and(waits) {
                    continue;
                }
            }
            let pending = sequence.pending().len();
            let most = if scores { SCORED } else { self.width.chunk };
            let take = pending.min(*budget).min(most);
            let (computed, table) = (sequence.computed, &mut sequence.pages);
            if !self.pages.grow(table, computed + take) {
                continue;
            }
            computing.extend(page);
            let wanted = match (scores, take == pending) {
                (true, _) => Wanted::All,
                (false, true) => Wanted::Last,
                (false, false) => Wanted::None,
            };
            rows.push(Planned { index, take, wanted });
            *budget -= take;
        }
    }

    /// Lengthens rows that decode by guesses, `room` tokens in all. Nothing gives way for a guess.
    fn plan_drafts(&mut self, rows: &mut [Planned], mut room: usize) {
        let mut left = rows.len();
        for row in rows {
            let sequence = &mut self.running[row.index];
            let context = (self.limits.context as usize).saturating_sub(sequence.len());
            let most = room.div_ceil(left).min(context);
            left -= 1;
            let drafted = sequence.draft(most, self.limits.vocab);
            if drafted == 0 {
                continue;
            }
            if !self.pages.grow(&mut sequence.pages, sequence.computed + 1 + drafted) {
                sequence.forget_draft();
                continue;
            }
            row.take += drafted;
            row.wanted = Wanted::All;
            room -= drafted;
        }
    }

    /// Pages for the next `take` tokens of a running sequence, taken from those of least priority admitted last if need be.
    /// False when the sequence had to give way itself. Rows planned so far are of sequences before `index`, so none of them
    /// gives way.
    fn grow(&mut self, index: usize, take: usize, backend: &mut dyn InferenceBackend) -> bool {
        loop {
            let sequence = &mut self.running[index];
            let tokens = sequence.computed + take;
            if self.pages.grow(&mut sequence.pages, tokens) {
                return true;
            }
            // Ordered by priority, then admission: the last one.
            let last = self.running.len() - 1;
            self.preempt(last, backend);
            if last == index {
                return false;
            }
        }
    }
}

/// Pages of a sequence's beginning that are published: those that somebody holds, and those that nobody does.
fn prefix(pages: &PagePool, sequence: &mut Sequence) -> (usize, usize) {
    let (mut held, mut idle) = (0, 0);
    while let Some(key) = sequence.page_to_adopt(held + idle) {
        match pages.find(&key) {
            Some(true) => idle += 1,
            Some(false) => held += 1,
            None => break,
        }
    }
    (held, idle)
}

/// Takes over the published pages that come next for a sequence. How many tokens of its prompt it is spared for the first time.
fn adopt(pages: &mut PagePool, sequence: &mut Sequence) -> u64 {
    if !sequence.at_page_start() {
        return 0;
    }
    let first = sequence.computed / pages.page_tokens();
    pages.truncate(&mut sequence.pages, first);
    let mut spared = 0;
    while let Some(page) = sequence.page_to_adopt(sequence.pages.len()).and_then(|key| pages.adopt(&key)) {
        spared += sequence.share(page);
    }
    spared
}
