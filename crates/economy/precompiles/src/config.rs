//! What the machines know of the chain they run on.

use alloy_primitives::B256;

/// The chain's constants, as far as the economy needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EconomyConfig {
    /// The chain's id.
    pub chain_id: u64,
    /// Hash of the genesis block: channel nonces begin with it.
    pub genesis_hash: B256,
    /// Short windows and the in-memory DA backend are allowed.
    pub dev: bool,
    /// From this timestamp on the functions exist; `None`: never.
    pub economy_time: Option<u64>,
    /// From this timestamp on the disputes' functions exist; `None`: never.
    pub disputes_time: Option<u64>,
}

impl EconomyConfig {
    /// True when the economy's functions exist at `timestamp`.
    #[must_use]
    pub const fn is_active(&self, timestamp: u64) -> bool {
        matches!(self.economy_time, Some(from) if from <= timestamp)
    }
}
