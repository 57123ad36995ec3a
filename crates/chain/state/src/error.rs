//! What can go wrong when state is read.

use crate::WitnessError;
use alloy_primitives::B256;
use revm::database_interface::DBErrorMarker;
use tributary_store::{Severity, StoreError};

/// A failure to read or to compute state. None of these says anything about a block's validity.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An account names code that is nowhere to be found.
    #[error("code {0} is missing")]
    MissingCode(B256),
    /// The hash of an ancestor that the EVM asked for is not known.
    #[error("hash of block {0} is not known")]
    MissingBlockHash(u64),
    /// Roots and proofs go back only as far as trie diffs are kept.
    #[error("the trie after block {number} is not kept any more; the oldest kept is after block {oldest}")]
    TooOld {
        /// The block asked for.
        number: u64,
        /// The oldest block that can be asked for.
        oldest: u64,
    },
    /// A state above the persisted head was asked of the store alone.
    #[error("block {number} is above the persisted head {head}")]
    AboveHead {
        /// The block asked for.
        number: u64,
        /// The last block persisted.
        head: u64,
    },
    /// A witness lacks something, or is wrong.
    #[error("witness: {0}")]
    Witness(#[from] WitnessError),
    /// Stored data contradicts itself.
    #[error("state is corrupt: {0}")]
    Corrupt(String),
}

impl StateError {
    /// What the caller should do.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Store(error) => error.severity(),
            Self::TooOld { .. } | Self::AboveHead { .. } | Self::Witness(_) => Severity::Reject,
            Self::MissingCode(_) | Self::MissingBlockHash(_) | Self::Corrupt(_) => Severity::Fatal,
        }
    }
}

impl DBErrorMarker for StateError {}
