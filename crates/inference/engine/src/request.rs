//! A request as the engine takes it, and what comes back.

use crate::{draft::DraftSource, grammar::Grammar, sampling::SamplingParams, store::AdapterSet};
use alloy_primitives::{B256, Keccak256};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// When an answer ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopRules {
    /// Tokens of answer at most; a permit's budget is already in it.
    pub max_tokens: u32,
    /// Tokens of answer before which neither stop tokens nor stop strings end it.
    pub min_tokens: u32,
    /// Tokens that end the answer and are no part of it, the model's own among them unless ignored.
    pub tokens: Vec<u32>,
    /// Strings that end the text, and are no part of it. Their tokens are part of the answer.
    pub strings: Vec<String>,
}

impl StopRules {
    pub(crate) fn hash_into(&self, hash: &mut Keccak256) {
        hash.update(self.max_tokens.to_be_bytes());
        hash.update(self.min_tokens.to_be_bytes());
        hash.update((self.tokens.len() as u16).to_be_bytes());
        for token in &self.tokens {
            hash.update(token.to_be_bytes());
        }
        hash.update((self.strings.len() as u16).to_be_bytes());
        for string in &self.strings {
            hash.update((string.len() as u16).to_be_bytes());
            hash.update(string);
        }
    }
}

/// One answer to generate.
#[derive(Debug, Default)]
pub struct GenerateRequest {
    /// Token ids of the prompt, at least one.
    pub prompt: Vec<u32>,
    /// Adapters, leased until the answer ends.
    pub adapters: AdapterSet,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// When it ends.
    pub stop: StopRules,
    /// What the answer has to look like, at its beginning.
    pub grammar: Option<Grammar>,
    /// Report log-probabilities: of the chosen token and this many alternatives.
    pub logprobs: Option<u8>,
    /// Report log-probabilities of the prompt: of its tokens from the second on and this many alternatives. With it `max_tokens` may
    /// be 0, and no prefix is taken over from others.
    pub prompt_logprobs: Option<u8>,
    /// Whose share of the machine it counts against, and with whom it shares computed prefixes.
    pub tenant: u64,
    /// Parts a tenant's prefixes: only requests of the same salt share them, and can tell by time that they do.
    pub cache_salt: B256,
    /// Who goes first, the least; 0 for most. Others are not starved by it.
    pub priority: i32,
    /// A text that the answer may quote. No part of what goes in: it makes the answer faster or not.
    pub drafts: Option<Arc<dyn DraftSource>>,
    /// When nobody wants it any more.
    pub deadline: Option<Instant>,
}

/// A token and its log-probability before penalties and temperature; for display.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenLogprob {
    /// The token.
    pub token: u32,
    /// Natural logarithm of its probability.
    pub logprob: f64,
}

/// A token of the prompt as the model saw it coming.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptToken {
    /// The token.
    pub token: u32,
    /// Natural logarithm of its probability.
    pub logprob: f64,
    /// 1 for the most probable.
    pub rank: u32,
    /// The most probable tokens.
    pub top: Vec<TokenLogprob>,
}

/// A token of the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenEvent {
    /// The token.
    pub token: u32,
    /// Text that can be shown since the last event; often the token's, sometimes none or more.
    pub text: String,
    /// Log-probability of the token, if asked for.
    pub logprob: Option<f64>,
    /// The most probable tokens, if asked for.
    pub top: Vec<TokenLogprob>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// A stop token or stop string.
    Stop,
    /// `max_tokens`, the context, or the permit's budget.
    Length,
    /// The client left.
    Cancelled,
    /// The deadline passed.
    Deadline,
}

impl FinishReason {
    /// Name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Cancelled => "abort",
            Self::Deadline => "deadline",
        }
    }
}

/// An answer at its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Why it ended.
    pub reason: FinishReason,
    /// The stop string that ended it.
    pub stop_string: Option<String>,
    /// Text held back until now.
    pub tail: String,
    /// The answer's tokens: all but a final stop token.
    pub tokens: Vec<u32>,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// The prompt's tokens from the second on, if they were asked for.
    pub prompt_logprobs: Vec<PromptToken>,
    /// Those of them whose keys and values were there already.
    pub cached_tokens: u32,
    /// Hash of everything that went in.
    pub exec_hash: B256,
    /// Head of the hash chain over the answer's tokens.
    pub logits_root: B256,
    /// The record's sampling bytes.
    pub sampling: Vec<u8>,
    /// Times.
    pub timing: Timing,
}

/// Where a request's time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// From submission to the first step.
    pub queued: Duration,
    /// From submission to the first token.
    pub first_token: Option<Duration>,
    /// From submission to the end.
    pub total: Duration,
}

/// What the engine sends while it generates. The last one is `Finished` or `Failed`.
#[derive(Clone, Debug)]
pub enum Event {
    /// A token of the answer.
    Token(TokenEvent),
    /// The end.
    Finished(Box<Outcome>),
    /// The answer failed; tokens sent before are void.
    Failed(GenerateError),
}

/// Why an accepted request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// An activation or logit is not finite: this request's own doing, or its adapter's.
    #[error("non_finite: the computation overflowed for this request")]
    NonFinite,
    /// The request or its adapter is not one for this backend.
    #[error("request refused by the backend: {0}")]
    Refused(String),
    /// The request's grammar went wrong, or has no way on.
    #[error("grammar: {0}")]
    Grammar(String),
    /// The backend broke while it ran this request; it is being restarted.
    #[error("the inference backend failed: {0}")]
    Backend(String),
    /// The backend that goes on takes a shorter context than the one before it.
    #[error("the prompt has {prompt} tokens, the model's context is {context}")]
    TooLong {
        /// Tokens of the prompt, and of what was answered.
        prompt: u32,
        /// Tokens of context.
        context: u32,
    },
    /// The deadline passed before the first token.
    #[error("the deadline passed before the first token")]
    Deadline,
    /// The client left before the first token.
    #[error("cancelled before the first token")]
    Cancelled,
    /// The engine stopped.
    #[error("the engine stopped")]
    Stopped,
}

/// Why a request was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The prompt is empty.
    #[error("the prompt has no tokens")]
    EmptyPrompt,
    /// The prompt leaves no room for an answer.
    #[error("the prompt has {prompt} tokens, the model's context is {context}")]
    TooLong {
        /// Tokens of the prompt.
        prompt: u32,
        /// Tokens of context.
        context: u32,
    },
    /// A token id is not in the vocabulary.
    #[error("token {0} is not in the vocabulary")]
    BadToken(u32),
    /// No answer was asked for.
    #[error("max_tokens is 0")]
    NoTokens,
    /// Too many requests wait already.
    #[error("{0} requests are waiting already")]
    Overloaded(usize),
    /// The engine is loading, restarting, draining or gone.
    #[error("the engine is {0}")]
    Unavailable(&'static str),
}
