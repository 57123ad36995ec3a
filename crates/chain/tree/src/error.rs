//! What can go wrong, and whose fault it is.

use alloy_primitives::B256;
use tributary_evm::ImportError;
use tributary_spec::At;
use tributary_state::StateError;
use tributary_store::{Severity, StoreError};

/// A failure of the chain. None says that a block is invalid: that is a [`PayloadStatus`](crate::PayloadStatus).
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// State could not be read or computed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The executor failed for a reason that is not the block's.
    #[error("execution failed: {0}")]
    Execution(String),
    /// The genesis file's state does not have the root its header claims.
    #[error("genesis state root is {computed}, its header says {claimed}")]
    GenesisRoot {
        /// From the allocation.
        computed: B256,
        /// In the header.
        claimed: B256,
    },
    /// The chain is past an activation that the genesis file now puts elsewhere.
    #[error(
        "the genesis file has {name} at {}, this chain was made with {}, and its head {head} is past one of them: \
         use the genesis file it was made with, or another datadir", At(*.given), At(*.before)
    )]
    Activation {
        /// The fork.
        name: &'static str,
        /// When it was when the chain was opened last.
        before: Option<u64>,
        /// When it is now.
        given: Option<u64>,
        /// The head's number.
        head: u64,
    },
    /// No block with this hash is known.
    #[error("block not found: {0}")]
    UnknownBlock(B256),
    /// The parent of a block that was built here is not known.
    #[error("parent {0} is not known")]
    UnknownParent(B256),
    /// The safe or finalized block is unknown or not on the head's chain.
    #[error("{label} block {hash} is not on the chain of the head")]
    InconsistentLabel {
        /// `safe` or `finalized`.
        label: &'static str,
        /// The block.
        hash: B256,
    },
    /// The new head's chain does not contain the finalized block.
    #[error("head {head} would undo finalized block {finalized}")]
    UndoesFinalized {
        /// The head asked for.
        head: B256,
        /// The finalized block's number.
        finalized: u64,
    },
    /// The fork begins beneath the oldest reverse diff that is kept.
    #[error("the fork begins at block {ancestor}; blocks can be undone down to {oldest} only")]
    TooDeep {
        /// The last common block.
        ancestor: u64,
        /// The deepest block a fork may begin at.
        oldest: u64,
    },
    /// The writer stopped, because of an earlier failure or because the chain is shutting down.
    #[error("the chain's writer has stopped")]
    Stopped,
}

impl TreeError {
    /// What the caller should do.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Store(error) => error.severity(),
            Self::State(error) => error.severity(),
            Self::UnknownBlock(_)
            | Self::UnknownParent(_)
            | Self::InconsistentLabel { .. }
            | Self::UndoesFinalized { .. }
            | Self::TooDeep { .. } => Severity::Reject,
            Self::Execution(_) | Self::GenesisRoot { .. } | Self::Activation { .. } | Self::Stopped => {
                Severity::Fatal
            }
        }
    }
}

/// An import that failed for another reason than the block.
pub(crate) fn import_failure(error: ImportError) -> TreeError {
    match error {
        ImportError::State(error) => error.into(),
        other => TreeError::Execution(other.to_string()),
    }
}
