#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod backend;
mod commit;
mod draft;
mod engine;
mod grammar;
mod kv;
mod logprobs;
mod metrics;
mod request;
mod sampling;
mod schedule;
mod store;
mod text;
mod verify;

pub use backend::{
    Admission, BackendError, Found, Health, Identity, InferenceBackend, Limits, LoraPart, PageId,
    PrepareError, PreparedAdapter, Preparer, Row, RowError, SeqId, StepOutput, Wanted,
};
pub use commit::{HashChain, exec_hash};
pub use draft::DraftSource;
pub use engine::{BackendFactory, Engine, EngineConfig, EngineInfo, Generation, Status};
pub use grammar::{GRAMMAR_ENGINE, Grammar, TokenConstraint, TokenMask};
pub use request::{
    Event, FinishReason, GenerateError, GenerateRequest, Outcome, PromptToken, StopRules, SubmitError,
    Timing, TokenEvent, TokenLogprob,
};
pub use sampling::{Choosing, NoChoice, PPM, SamplingError, SamplingParams, draw, exp, philox4x32};
pub use store::{AdapterSet, AdapterStore, PartKey, ResidentAdapter};
pub use text::Vocabulary;
pub use verify::{Claim, Ending, Verdict, VerifyError, committed_max_tokens, verify};
