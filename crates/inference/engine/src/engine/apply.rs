//! From a planned step to its rows, and from its results to tokens.

use super::worker::Worker;
use crate::{
    backend::{Found, InferenceBackend, Row, RowError, Wanted},
    grammar::TokenMask,
    logprobs::{logprobs, rank},
    request::{FinishReason, GenerateError, PromptToken},
    sampling::{Choice, Sampler},
    schedule::{Constraint, End, Planned, Scheduler, Sequence},
};

/// The rows of a plan.
pub(super) fn rows<'a>(scheduler: &'a Scheduler, plan: &[Planned]) -> Vec<Row<'a>> {
    let running = scheduler.running();
    plan.iter()
        .map(|planned| {
            let sequence = &running[planned.index];
            Row {
                seq: sequence.id,
                pos: sequence.computed as u32,
                tokens: sequence.row(planned.take),
                pages: &sequence.pages,
                lora: sequence.request().adapters.parts(),
                logits: planned.wanted,
                choose: sequence.choosing(planned.wanted),
            }
        })
        .collect()
}

impl Worker {
    /// Chooses tokens for every row that wants them, and ends the sequences that end.
    pub(super) fn apply(
        &mut self,
        scheduler: &mut Scheduler,
        plan: &[Planned],
        backend: &mut dyn InferenceBackend,
    ) {
        let mut ended = Vec::new();
        for (row, planned) in plan.iter().enumerate() {
            if let Some(end) = self.apply_row(scheduler, row, planned) {
                ended.push((planned.index, end));
            }
        }
        ended.sort_unstable_by_key(|(index, _)| std::cmp::Reverse(*index));
        for (index, end) in ended {
            let sequence = scheduler.remove(index, backend);
            match end {
                End::Finished(reason, stop) => sequence.finish(reason, stop),
                End::Failed(error) => sequence.fail(error),
            }
        }
    }

    fn apply_row(&mut self, scheduler: &mut Scheduler, row: usize, planned: &Planned) -> Option<End> {
        let wanted = self.output.count(row);
        let scores = planned.wanted == Wanted::All && !scheduler.running()[planned.index].guesses();
        let drafted = if scores { 0 } else { wanted.saturating_sub(1) };
        match self.output.error(row) {
            None => {}
            // It may have been a guess that overflowed: the next step runs without.
            Some(RowError::NonFinite) if drafted > 0 => {
                scheduler.judge(planned.index, drafted, 0);
                return None;
            }
            Some(RowError::NonFinite) => return Some(End::Failed(GenerateError::NonFinite)),
            Some(error) => return Some(End::Failed(GenerateError::Refused(error.to_string()))),
        }
        let sequence = scheduler.running_mut(planned.index);
        let before = sequence.answer().len();
        let (end, right) = if wanted == 0 {
            sequence.computed += planned.take;
            (None, 0)
        } else if scores {
            (self.score(sequence, row, wanted), 0)
        } else {
            sequence.computed += planned.take - wanted;
            self.choose_along(sequence, row, 0, wanted)
        };
        scheduler.count(planned.index, before, end.is_some());
        scheduler.publish(planned.index);
        if drafted > 0 {
            scheduler.judge(planned.index, drafted, right);
        }
        end
    }

    /// Looks at the tokens of a prompt; behind its last one the answer begins.
    fn score(&mut self, sequence: &mut Sequence, row: usize, wanted: usize) -> Option<End> {
        let count = usize::from(sequence.request().prompt_logprobs.unwrap_or(0));
        for index in 0..wanted {
            if let Some(token) = sequence.to_score(sequence.computed + index) {
                let logits = self.output.logits(row, index);
                let (logprob, top) = logprobs(logits, token, count);
                sequence.score(PromptToken { token, logprob, rank: rank(logits, token), top });
            }
        }
        if sequence.computed + wanted < sequence.len() {
            sequence.computed += wanted;
            return None;
        }
        sequence.computed += wanted - 1;
        self.choose_along(sequence, row, wanted - 1, wanted).0
    }

    /// Chooses a token at each wanted position as long as the choice is what the row went on with. How the answer ends if it does,
    /// and how many guesses were right.
    fn choose_along(
        &mut self,
        sequence: &mut Sequence,
        row: usize,
        first: usize,
        wanted: usize,
    ) -> (Option<End>, usize) {
        let mut index = first;
        loop {
            sequence.computed += 1;
            if sequence.request().stop.max_tokens == 0 {
                return (Some(End::Finished(FinishReason::Length, None)), 0);
            }
            let found = self.output.found(row, index);
            let token = match choose(&mut self.sampler, &mut self.mask, sequence, found) {
                Ok(token) => token,
                Err(end) => return (Some(end), index),
            };
            let guessed = sequence.guessed(index);
            let shown = match found {
                Found::Logits(logits) => {
                    sequence.request().logprobs.map(|count| logprobs(logits, token, usize::from(count)))
                }
                // A row whose request shows any does not let the backend choose.
                Found::Chosen(_) => None,
            };
            let normed = self.output.normed(row, index);
            if let Some(end) = sequence.accept(token, normed, shown, self.vocabulary.as_ref()) {
                return (Some(end), index);
            }
            if guessed != Some(token) || index + 1 == wanted {
                return (None, index);
            }
            index += 1;
        }
    }
}

/// The token that follows a position, given its logits or chosen by the backend. An error is how the answer ends instead.
pub(crate) fn choose(
    sampler: &mut Sampler,
    mask: &mut TokenMask,
    sequence: &mut Sequence,
    found: Found<'_>,
) -> Result<u32, End> {
    let no_choice = || End::Failed(GenerateError::NonFinite);
    let logits = match found {
        Found::Logits(logits) => logits,
        Found::Chosen(token) => return token.ok_or_else(no_choice),
    };
    let constraint = match sequence.constrain(mask, logits.len() as u32) {
        Ok(Constraint::Complete) => return Err(End::Finished(FinishReason::Stop, None)),
        Ok(constraint) => constraint,
        Err(error) => return Err(End::Failed(error)),
    };
    let choice = Choice {
        params: &sequence.request().sampling,
        seen: sequence.seen(),
        masked: sequence.masked(),
        allowed: (constraint == Constraint::Mask).then_some(&*mask),
        position: sequence.answer().len() as u32,
    };
    sampler.choose(logits, &choice).map_err(|_| no_choice())
}
