//! What can go wrong when state is read.

use alloy_primitives::B256;
use revm::database_interface::DBErrorMarker;

/// A failure to read or to compute state. None of these says anything about a block's validity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// An account names code that is nowhere to be found.
    #[error("code {0} is missing")]
    MissingCode(B256),
    /// The hash of an ancestor that the EVM asked for is not known.
    #[error("hash of block {0} is not known")]
    MissingBlockHash(u64),
    /// Stored data contradicts itself.
    #[error("state is corrupt: {0}")]
    Corrupt(String),
}

impl DBErrorMarker for StateError {}
