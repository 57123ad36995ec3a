//! The one trait between scheduling and arithmetic.
//!
//! The engine owns requests, their order, the KV page tables and the sampling; a backend owns weights,
//! KV memory and kernels. A step is a list of rows, each a run of consecutive tokens of one sequence with
//! its own adapters: prefill chunks, single decode tokens and verification of drafts all look alike.
//! A backend holds no state per sequence but what [`InferenceBackend::admit`] announced, so a page may be
//! shared or recomputed without its knowing.

use crate::sampling::Choosing;
use alloy_primitives::B256;
use std::{any::Any, fmt, sync::Arc};
use tributary_adapters::Adapter;

/// A sequence: one choice of one request. Never reused within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeqId(pub u64);

/// A physical KV page, an index below [`Limits::pages`].
pub type PageId = u32;

/// What a backend can take; constant while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tokens of context a sequence may have, prompt and answer together.
    pub context: u32,
    /// Size of the vocabulary: logits per wanted position.
    pub vocab: u32,
    /// Bytes of the quantised final vector per wanted position: `hidden` values and 4 for each block of 32.
    pub normed_bytes: u32,
    /// Tokens a KV page holds.
    pub page_tokens: u32,
    /// KV pages there are.
    pub pages: u32,
    /// Rows a step may have.
    pub rows: u32,
    /// Tokens a step may have over all its rows.
    pub step_tokens: u32,
    /// Memory of a page, in bytes; 0 where pages lie in a device's own memory, which no budget counts.
    pub page_bytes: usize,
    /// Memory of the weights, in bytes; of a device's, what the host keeps of them.
    pub weight_bytes: usize,
}

/// What an answer depends on besides its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Hash of the numeric profile (profile text version, model config, block formats, tables).
    pub profile: B256,
    /// Hash of the base weights.
    pub weights: B256,
}

/// An adapter in a backend's own form, with a composition weight folded in. Made by a [`Preparer`],
/// taken apart by the backend that made it.
pub trait PreparedAdapter: Any + fmt::Debug + Send + Sync {
    /// Memory held, in bytes.
    fn bytes(&self) -> usize;
    /// The largest rank of any of its modules.
    fn rank(&self) -> u32;
    /// Whether it may be one of several on a row. What scales a layer's whole result instead of adding to it, as DoRA does,
    /// has no meaning beside others.
    fn composes(&self) -> bool {
        true
    }
    /// For the backend's downcast.
    fn as_any(&self) -> &dyn Any;
}

/// One adapter of a row's composition.
#[derive(Clone, Debug)]
pub struct LoraPart {
    /// The artifact's hash.
    pub hash: B256,
    /// Its weight in the composition, already folded into `prepared`.
    pub weight: f32,
    /// The backend's form of it.
    pub prepared: Arc<dyn PreparedAdapter>,
}

/// Turns adapters into a backend's form, on any thread, while the backend steps.
pub trait Preparer: Send + Sync + fmt::Debug {
    /// Quantises `weight · scale · B` and `A`. An adapter that does not fit the model, or uses what the
    /// backend lacks, is an error that names it.
    fn prepare(&self, adapter: &Adapter, weight: f32) -> Result<Arc<dyn PreparedAdapter>, PrepareError>;

    /// What was prepared of the artifact of this hash before, if it was kept and is whole: the same bits as preparing it again.
    fn kept(&self, _hash: B256, _weight: f32) -> Option<Arc<dyn PreparedAdapter>> {
        None
    }

    /// Keeps what it prepared for later starts and loads, where it keeps anything. The artifact's bytes had this hash.
    fn keep(&self, _hash: B256, _weight: f32, _prepared: &dyn PreparedAdapter) {}

    /// The name of the form. What was prepared in one form is of no use to a backend of another, so that after a change of
    /// backends adapters are prepared anew.
    fn form(&self) -> &'static str {
        "cpu"
    }
}

/// Why an adapter cannot be used with this backend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The adapter uses a feature this backend lacks.
    #[error("adapter uses {0}, which this backend does not support")]
    Unsupported(&'static str),
    /// A module does not fit the base model.
    #[error("adapter does not fit the model: {0}")]
    Mismatch(String),
    /// A value is not finite, or too large to quantise, once scaled.
    #[error("adapter values are not finite once scaled: {0}")]
    NonFinite(String),
}

/// The positions of a row whose logits are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// None: a prefill chunk that is not the last.
    None,
    /// The row's last token.
    Last,
    /// Every token of the row: drafts to verify, log-probabilities of a prompt.
    All,
}

impl Wanted {
    /// How many positions of a row of `tokens` tokens are asked for.
    pub const fn count(self, tokens: usize) -> usize {
        match self {
            Self::None => 0,
            Self::Last => 1,
            Self::All => tokens,
        }
    }
}

/// Consecutive tokens of one sequence to run in a step.
///
/// K and V of every position before `pos` are already in the pages; the step writes those of
/// `pos .. pos + tokens.len()`. Position `p` lies in `pages[p / page_tokens]` at slot `p % page_tokens`.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The sequence, at most one row of it in a step.
    pub seq: SeqId,
    /// Absolute position of the first token.
    pub pos: u32,
    /// The tokens, at least one, each below [`Limits::vocab`].
    pub tokens: &'a [u32],
    /// Page table, long enough for the last token.
    pub pages: &'a [PageId],
    /// Adapters in request order; empty for the base model.
    pub lora: &'a [LoraPart],
    /// Positions whose logits are asked for.
    pub logits: Wanted,
    /// Where nothing but a token is asked of those logits: how each is chosen. A backend may choose and give tokens, as
    /// [`StepOutput::begin_choosing`] has it, or give the logits all the same.
    pub choose: Option<Choosing>,
}

/// Why one row of a step has no result. Its neighbours are not touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// An activation overflowed: the profile fails the request rather than guess.
    #[error("non_finite: an activation is not finite")]
    NonFinite,
    /// A token is not in the vocabulary.
    #[error("token {0} is not in the vocabulary")]
    BadToken(u32),
    /// A part was prepared by another backend or for another model.
    #[error("adapter was not prepared for this backend")]
    ForeignAdapter,
    /// A DoRA adapter beside others.
    #[error("a DoRA adapter cannot be composed with others")]
    Composition,
}

/// Results of a step, in the order of its rows. Buffers are reused from step to step.
#[derive(Debug, Default)]
pub struct StepOutput {
    vocab: usize,
    normed_bytes: usize,
    rows: Vec<RowSlot>,
    positions: usize,
    logits: Vec<f32>,
    normed: Vec<u8>,
    chosen: Vec<Option<u32>>,
}

/// What a backend found at a wanted position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found<'a> {
    /// The logits.
    Logits(&'a [f32]),
    /// The token that follows; none where the logits allow no choice.
    Chosen(Option<u32>),
}

#[derive(Debug)]
struct RowSlot {
    first: usize,
    count: usize,
    /// Where its logits begin, counted in positions that have them; none if the backend chooses.
    logits: Option<usize>,
    error: Option<RowError>,
}

impl StepOutput {
    /// Lays the buffers out for `rows`, with logits for every wanted position; called by the backend at the start of a step.
    pub fn begin(&mut self, limits: &Limits, rows: &[Row<'_>]) {
        self.lay_out(limits, rows, |_| true);
    }

    /// The same for a backend that chooses: there are logits only for rows that do not say how to, and for the others
    /// [`choose`](Self::choose) is called for every wanted position.
    pub fn begin_choosing(&mut self, limits: &Limits, rows: &[Row<'_>]) {
        self.lay_out(limits, rows, |row| row.choose.is_none());
    }

    fn lay_out(&mut self, limits: &Limits, rows: &[Row<'_>], has_logits: impl Fn(&Row<'_>) -> bool) {
        self.vocab = limits.vocab as usize;
        self.normed_bytes = limits.normed_bytes as usize;
        self.rows.clear();
        let (mut first, mut shown) = (0, 0);
        for row in rows {
            let count = row.logits.count(row.tokens.len());
            let logits = has_logits(row).then_some(shown);
            self.rows.push(RowSlot { first, count, logits, error: None });
            first += count;
            shown += logits.map_or(0, |_| count);
        }
        self.positions = first;
        self.logits.resize(shown * self.vocab, 0.0);
        self.normed.resize(first * self.normed_bytes, 0);
        self.chosen.clear();
        self.chosen.resize(first, None);
    }

    /// Marks a row as failed.
    pub fn fail(&mut self, row: usize, error: RowError) {
        self.rows[row].error = Some(error);
    }

    /// Where a row failed, its error.
    pub fn error(&self, row: usize) -> Option<RowError> {
        self.rows[row].error
    }

    /// Wanted positions of a row.
    pub fn count(&self, row: usize) -> usize {
        self.rows[row].count
    }

    /// Wanted positions over all rows, the outer dimension of the flat buffer of final vectors; of that of logits too, unless the
    /// backend chooses.
    pub const fn positions(&self) -> usize {
        self.positions
    }

    /// Index of a row's first wanted position among all.
    pub fn first(&self, row: usize) -> usize {
        self.rows[row].first
    }

    /// Index of a row's first wanted position among those that have logits; none if the backend chooses for the row.
    pub fn first_logits(&self, row: usize) -> Option<usize> {
        self.rows[row].logits
    }

    /// What was found at the `index`-th wanted position of a row.
    pub fn found(&self, row: usize, index: usize) -> Found<'_> {
        match self.rows[row].logits {
            Some(_) => Found::Logits(self.logits(row, index)),
            None => Found::Chosen(self.chosen[self.rows[row].first + index]),
        }
    }

    /// Logits of the `index`-th wanted position of a row; of one that the backend chose for, nothing.
    pub fn logits(&self, row: usize, index: usize) -> &[f32] {
        let Some(first) = self.rows[row].logits else { return &[] };
        &self.logits[(first + index) * self.vocab..][..self.vocab]
    }

    /// Notes the token chosen at the `index`-th wanted position of a row, or that its logits allow none.
    pub fn choose(&mut self, row: usize, index: usize, token: Option<u32>) {
        let at = self.rows[row].first + index;
        self.chosen[at] = token;
    }

    /// The final normed vector of that position as the hash chain takes it: the Q8 values, one byte each,
    /// then each block's scale as big-endian f32 bits.
    pub fn normed(&self, row: usize, index: usize) -> &[u8] {
        let at = self.rows[row].first + index;
        &self.normed[at * self.normed_bytes..(at + 1) * self.normed_bytes]
    }

    /// The flat `[positions with logits][vocab]` buffer, for the backend to fill.
    pub fn logits_mut(&mut self) -> &mut [f32] {
        &mut self.logits
    }

    /// The flat `[positions][normed_bytes]` buffer, for the backend to fill.
    pub fn normed_mut(&mut self) -> &mut [u8] {
        &mut self.normed
    }

    /// Both flat buffers at once.
    pub fn buffers_mut(&mut self) -> (&mut [f32], &mut [u8]) {
        (&mut self.logits, &mut self.normed)
    }
}

/// Whether a sequence may be scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Now.
    Ready,
    /// Its adapters are on their way to the device; ask again before the next step.
    Loading,
}

/// A backend's own view of its condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Serving.
    Ok,
    /// Serving, but something is wrong that an operator should see.
    Degraded(String),
}

/// A failure of the backend as a whole. Every row of the step is lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The model cannot be loaded or fails its self-test: starting again will not help.
    #[error("backend cannot start: {0}")]
    Start(String),
    /// A step failed; a restarted backend may work.
    #[error("backend failed: {0}")]
    Failed(String),
    /// A step breaks the contract of [`Row`] or [`Limits`]: a fault of the engine.
    #[error("step breaks the backend's contract: {0}")]
    Contract(String),
}

/// Runs rows of tokens through a model. Owned and called by the engine thread alone.
///
/// The bits of a row's results depend on the row's own tokens, pages and adapters only: never on its
/// neighbours, the number of rows, the chunking of a prompt, or the page numbers.
pub trait InferenceBackend: Send {
    /// Name for logs and metrics, such as `cpu-avx512vnni`.
    fn name(&self) -> &str;

    /// What the backend can take.
    fn limits(&self) -> &Limits;

    /// What answers depend on besides requests.
    fn identity(&self) -> &Identity;

    /// Its condition.
    fn health(&self) -> Health;

    /// The part that prepares adapters off the engine thread.
    fn preparer(&self) -> Arc<dyn Preparer>;

    /// Announces a sequence and the adapters it will use, so that a device can page them in. Called again
    /// while it answers [`Admission::Loading`].
    fn admit(&mut self, seq: SeqId, lora: &[LoraPart]) -> Result<Admission, BackendError>;

    /// Runs one step. Calls [`StepOutput::begin`] or [`begin_choosing`](StepOutput::begin_choosing) and fills in every wanted position
    /// of every row that does not fail. A token that it chooses is the one that [`Choosing::token`] gives for the position's logits.
    fn step(&mut self, rows: &[Row<'_>], out: &mut StepOutput) -> Result<(), BackendError>;

    /// What these pages hold is of no use any more: gives their memory back, until they are written again.
    fn discard(&mut self, _pages: &[PageId]) {}

    /// Forgets a sequence.
    fn release(&mut self, seq: SeqId);
}
