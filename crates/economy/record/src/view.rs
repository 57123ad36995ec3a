//! What the check of a record asks the chain.

use crate::fees::{Rates, SplitParams};
use crate::record::Source;
use crate::spans::TraceBounds;
use alloy_primitives::{Address, B256};

/// The chain could not be read; nothing is said about the record. Worth another try.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reading the chain failed: {0}")]
pub struct ViewError(pub String);

/// Parameters as of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamsAt {
    /// The fee split.
    pub split: SplitParams,
    /// Blocks a record may be old when its batch is committed.
    pub max_record_age: u64,
    /// Most bytes of a record.
    pub max_record_bytes: u32,
    /// How long the lists of a trace may get.
    pub bounds: TraceBounds,
}

/// A base model as of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelAt {
    /// Who earns from it.
    pub owner: Address,
    /// What it costs.
    pub rates: Rates,
    /// No new requests.
    pub retired: bool,
    /// Its tokenizer.
    pub tokenizer_hash: B256,
    /// Its numeric profile.
    pub profile_hash: B256,
}

/// An adapter as of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterAt {
    /// The model it adapts.
    pub base: u64,
    /// Who earns from it.
    pub owner: Address,
    /// What it costs.
    pub rates: Rates,
    /// No new requests.
    pub retired: bool,
    /// What it pins, ascending, one epoch a datanet.
    pub sources: Vec<Source>,
}

/// A sealed epoch of a datanet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochAt {
    /// Contributions it holds: those with an index below.
    pub count: u32,
    /// The datanet's shortest match.
    pub min_match: u32,
}

/// Whether a contribution takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It earns.
    Live,
    /// It keeps its place in the order, and from this epoch on earns nothing.
    RemovedFrom(u64),
    /// Refused by the datanet's owner before its first epoch: as if it had never been.
    Rejected,
}

/// A revealed contribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContributionAt {
    /// Who earns from it.
    pub contributor: Address,
    /// Its length in tokens.
    pub tokens: u64,
    /// When it was committed: its place in the order of priority.
    pub commit_block: u64,
    /// Whether it takes part.
    pub standing: Standing,
}

impl ContributionAt {
    /// True when it earns in this epoch (if the epoch holds it at all).
    #[must_use]
    pub const fn live_in(&self, epoch: u64) -> bool {
        match self.standing {
            Standing::Live => true,
            Standing::RemovedFrom(from) => epoch < from,
            Standing::Rejected => false,
        }
    }
}

/// A payment channel before the batch in question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelAt {
    /// The agent it pays.
    pub agent_id: u64,
    /// Who signs its vouchers.
    pub signer: Address,
    /// Everything ever put in.
    pub deposited: u128,
    /// Everything already taken by batches.
    pub settled: u128,
}

/// A narrow, read-only window on the chain.
///
/// Whatever can change over time is asked as of a block (the record's `l2Block`); `None` means that there was
/// nothing under this id then. Channels are asked as they stand before the batch being checked.
pub trait ChainView {
    /// The chain's id.
    fn chain_id(&self) -> u64;
    /// Parameters in force in `block`.
    fn params(&self, block: u64) -> Result<ParamsAt, ViewError>;
    /// A base model.
    fn model(&self, id: u64, block: u64) -> Result<Option<ModelAt>, ViewError>;
    /// An adapter.
    fn adapter(&self, id: u64, block: u64) -> Result<Option<AdapterAt>, ViewError>;
    /// A sealed epoch.
    fn epoch(&self, source: Source) -> Result<Option<EpochAt>, ViewError>;
    /// A contribution, by its id.
    fn contribution(&self, id: u64) -> Result<Option<ContributionAt>, ViewError>;
    /// A channel.
    fn channel(&self, id: B256) -> Result<Option<ChannelAt>, ViewError>;
    /// True when an earlier batch of any agent already holds this request. A view that knows single records
    /// only says no.
    fn recorded(&self, channel: B256, request_id: B256) -> Result<bool, ViewError>;
}
