//! An answer checked by computing it once more: one prefill over prompt and answer together.
//!
//! ```text
//! prompt ‖ answer ─► rows ─► logits of every position ─► the choice there, as when it was generated ─► is it the answer's next token?
//!                            final vectors ─► hash chain from execHash ─► is its head the record's logitsRoot?
//! ```
//! Sampled answers too: a draw depends on seed, choice and position, all of which `execHash` commits to.

use crate::{
    backend::{
        BackendError, Found, Identity, InferenceBackend, PageId, Row, RowError, SeqId, StepOutput, Wanted,
    },
    commit::exec_hash,
    engine::choose,
    grammar::{Grammar, TokenMask},
    request::{GenerateError, GenerateRequest},
    sampling::Sampler,
    schedule::{End, Sequence, Submission},
    text::Vocabulary,
};
use alloy_primitives::B256;

/// Positions whose logits are looked at in one step: each has as many as there are tokens.
const LOOKED_AT: usize = 64;

/// What an operator says that a request's answer is.
#[derive(Debug)]
pub struct Claim {
    /// What was asked, as the engine took it.
    pub request: GenerateRequest,
    /// The answer's tokens.
    pub output: Vec<u32>,
    /// Hash of everything that went in.
    pub exec_hash: B256,
    /// Head of the chain over the answer.
    pub logits_root: B256,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The answer is what the model gives, to the last bit.
    Equal(Ending),
    /// Other inputs than these were committed to: another prompt, model, adapter, seed or bound.
    Inputs {
        /// `execHash` of the inputs at hand.
        computed: B256,
    },
    /// The answer's first wrong token.
    Token {
        /// Its place in the answer, from 0.
        index: u32,
        /// What the answer has there.
        claimed: u32,
        /// What the model chooses there; none where the answer had ended before.
        computed: Option<u32>,
    },
    /// Every token is the model's, and yet the chain has another head: tokens were cut off, or other logits committed to.
    Root {
        /// The head over these tokens.
        computed: B256,
        /// How the answer at hand ends.
        ending: Ending,
    },
}

/// Where an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A stop token would have been next, a stop string is complete, or the grammar has nothing more.
    Stop,
    /// At `max_tokens`.
    Length,
    /// The model would have gone on: the client left, or the deadline passed.
    Cut,
}

/// Why a claim could not be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Prompt and answer do not fit the model.
    #[error("prompt and answer have {tokens} tokens, the model's context is {context}")]
    TooLong {
        /// Tokens of both.
        tokens: usize,
        /// The model's context.
        context: u32,
    },
    /// A token that the model does not have.
    #[error("token {0} is not in the vocabulary")]
    BadToken(u32),
    /// There is nothing to compute from.
    #[error("the prompt has no tokens")]
    EmptyPrompt,
    /// The computation has no result.
    #[error("{0}")]
    Row(RowError),
    /// The request fails by itself.
    #[error("{0}")]
    Request(GenerateError),
    /// The backend does not run.
    #[error("{0}")]
    Backend(BackendError),
}

/// The `max_tokens` that a claim's `execHash` commits to, if it is between those of the answer and of the context: a permit may have
/// lowered it below what the request says. `min_tokens` follows it, as it did then.
pub fn committed_max_tokens(identity: &Identity, context: u32, claim: &Claim) -> Option<u32> {
    let GenerateRequest { prompt, adapters, sampling, stop, grammar, .. } = &claim.request;
    let room = context.saturating_sub(prompt.len() as u32);
    let grammar = grammar.as_ref().map(Grammar::hash);
    let is_it = |max: &u32| {
        let mut stop = stop.clone();
        stop.min_tokens = stop.min_tokens.min(*max);
        stop.max_tokens = *max;
        exec_hash(identity, adapters.parts(), prompt, sampling, &stop, grammar) == claim.exec_hash
    };
    let asked = stop.max_tokens.min(room);
    std::iter::once(asked).chain(claim.output.len() as u32..=room).find(is_it)
}

/// Computes a claim's answer along its own tokens.
pub fn verify(
    backend: &mut dyn InferenceBackend,
    vocabulary: &dyn Vocabulary,
    claim: Claim,
) -> Result<Verdict, VerifyError> {
    let (limits, identity) = (*backend.limits(), *backend.identity());
    let Claim { request, output, exec_hash, logits_root } = claim;
    let tokens: Vec<u32> = request.prompt.iter().chain(&output).copied().collect();
    let context = limits.context.min(limits.pages.saturating_mul(limits.page_tokens));
    if request.prompt.is_empty() {
        return Err(VerifyError::EmptyPrompt);
    }
    if tokens.len() > context as usize {
        return Err(VerifyError::TooLong { tokens: tokens.len(), context });
    }
    if let Some(token) = tokens.iter().find(|token| **token >= limits.vocab) {
        return Err(VerifyError::BadToken(*token));
    }
    let first = request.prompt.len() - 1;
    let mut check = Check {
        sequence: Sequence::new(
            SeqId(0),
            Submission::detached(request),
            &identity,
            limits.page_tokens as usize,
        ),
        output,
        vocabulary,
        sampler: Sampler::default(),
        mask: TokenMask::default(),
    };
    if check.sequence.exec_hash() != exec_hash {
        return Ok(Verdict::Inputs { computed: check.sequence.exec_hash() });
    }
    let pages: Vec<PageId> = (0..limits.pages).collect();
    let mut out = StepOutput::default();
    let mut pos = 0;
    let ended = loop {
        // The prompt in large chunks, then every position of the answer looked at.
        let most = if pos < first {
            limits.step_tokens.min(first as u32 - pos as u32)
        } else {
            limits.step_tokens.min(LOOKED_AT as u32)
        };
        let take = (most as usize).min(tokens.len() - pos);
        let logits = if pos < first { Wanted::None } else { Wanted::All };
        let row = Row {
            seq: SeqId(0),
            pos: pos as u32,
            tokens: &tokens[pos..pos + take],
            pages: &pages,
            lora: check.sequence.request().adapters.parts(),
            logits,
            choose: None,
        };
        backend.step(&[row], &mut out).map_err(VerifyError::Backend)?;
        if let Some(error) = out.error(0) {
            return Err(VerifyError::Row(error));
        }
        for index in 0..out.count(0) {
            match check.judge(out.logits(0, index), out.normed(0, index), pos + index - first)? {
                Judged::GoesOn => {}
                Judged::Wrong(verdict) => return Ok(verdict),
                Judged::Ends(ending) => return Ok(check.conclude(ending, logits_root)),
            }
        }
        pos += take;
        if pos == tokens.len() {
            break Ending::Cut;
        }
    };
    Ok(check.conclude(ended, logits_root))
}

/// A claim on its way through the model.
struct Check<'a> {
    sequence: Sequence,
    output: Vec<u32>,
    vocabulary: &'a dyn Vocabulary,
    sampler: Sampler,
    mask: TokenMask,
}

enum Judged {
    GoesOn,
    Wrong(Verdict),
    Ends(Ending),
}

impl Check<'_> {
    /// Compares the choice at a position of the answer with what the answer has there.
    fn judge(&mut self, logits: &[f32], normed: &[u8], index: usize) -> Result<Judged, VerifyError> {
        let claimed = self.output.get(index).copied();
        let found = Found::Logits(logits);
        let computed = match choose(&mut self.sampler, &mut self.mask, &mut self.sequence, found) {
            Ok(token) => Some(token),
            Err(End::Finished(..)) => None,
            Err(End::Failed(error)) => return Err(VerifyError::Request(error)),
        };
        let stops = computed.is_none_or(|token| self.sequence.is_stop(token));
        let Some(claimed) = claimed else {
            return Ok(Judged::Ends(if stops { Ending::Stop } else { Ending::Cut }));
        };
        let wrong = |computed| Verdict::Token { index: index as u32, claimed, computed };
        match computed {
            Some(token) if token == claimed && !stops => {}
            // A stop token is no part of an answer.
            computed => return Ok(Judged::Wrong(wrong(computed.filter(|token| *token != claimed)))),
        }
        let ending = match self.sequence.accept(claimed, normed, None, self.vocabulary) {
            None => return Ok(Judged::GoesOn),
            Some(End::Finished(crate::FinishReason::Length, _)) => Ending::Length,
            Some(End::Finished(..)) => Ending::Stop,
            Some(End::Failed(error)) => return Err(VerifyError::Request(error)),
        };
        Ok(match self.output.get(index + 1) {
            Some(next) => {
                Judged::Wrong(Verdict::Token { index: index as u32 + 1, claimed: *next, computed: None })
            }
            None => Judged::Ends(ending),
        })
    }

    fn conclude(&self, ending: Ending, logits_root: B256) -> Verdict {
        match self.sequence.chain_head() {
            head if head == logits_root => Verdict::Equal(ending),
            computed => Verdict::Root { computed, ending },
        }
    }
}
