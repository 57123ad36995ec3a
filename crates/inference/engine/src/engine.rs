//! The handle that callers share, and the thread behind it.

mod apply;
mod front;
mod handle;
mod homes;
mod live;
mod standing;
mod watchdog;
mod worker;

pub(crate) use apply::choose;
pub use handle::{Engine, EngineInfo, Generation, Status};
pub(crate) use live::Ticket;

use crate::backend::{BackendError, InferenceBackend};
use std::time::Duration;

/// Builds a backend on the engine thread: at start, and again after it broke.
pub type BackendFactory = Box<dyn FnMut() -> Result<Box<dyn InferenceBackend>, BackendError> + Send>;

/// How much the engine takes on. Each bound is lowered to the backend's own.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// Answers generated at once.
    pub max_running: usize,
    /// Requests in the engine, running and waiting.
    pub max_requests: usize,
    /// Tokens a step, prompts and answers together.
    pub step_tokens: usize,
    /// Tokens of one prompt a step: what a long prompt may delay the others by.
    pub prefill_chunk: usize,
    /// Whether sequences of the same beginning share what was computed of it.
    pub prefix_cache: bool,
    /// Tokens of a step up to which it is filled with guesses at what comes next; 0 for none. Where a step's time is that of reading
    /// the weights, a few tokens more cost little.
    pub draft_tokens: usize,
    /// First pause before a broken backend is started again; doubles up to `restart_max`.
    pub restart_first: Duration,
    /// Longest such pause.
    pub restart_max: Duration,
    /// A step that takes longer than this is given up, and its backend replaced.
    pub stall: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            max_running: 64,
            max_requests: 1024,
            step_tokens: 512,
            prefill_chunk: 256,
            prefix_cache: true,
            draft_tokens: 16,
            restart_first: Duration::from_millis(100),
            restart_max: Duration::from_secs(10),
            stall: Duration::from_secs(60),
        }
    }
}
