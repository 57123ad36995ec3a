//! What can go wrong, by what to do about it.

use alloy_primitives::B256;
use tributary_record::{CheckError, DecodeError, LedgerError, ViewError};

/// Why no batch came out. Records are never lost: the caller still has them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The chain could not be read: try again.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The agent's payout tree cannot take more.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A record cannot be written.
    #[error(transparent)]
    Encode(#[from] DecodeError),
    /// The batch does not pass its own check: a fault of this program, nothing must be committed.
    #[error("the packed batch does not hold: {0}")]
    SelfCheck(CheckError),
}

/// Why a committed batch does not continue a state.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// Of another agent or not the next one.
    #[error("batch {got} of agent {agent} does not follow {after}")]
    NotNext {
        /// The batch's sequence number.
        got: u64,
        /// The batch's agent.
        agent: u64,
        /// The state's last.
        after: u64,
    },
    /// Another parent.
    #[error("the batch's parent is {got}, not {want}")]
    Parent {
        /// The header's.
        got: B256,
        /// The state's.
        want: B256,
    },
    /// Payees that do not lead to the header's root.
    #[error("the payees of the batch do not lead to its payout root")]
    Root,
    /// The payout tree refuses.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}
