//! Errors as JSON-RPC knows them: geth's codes and reth's texts.

use alloy_eips::BlockId;
use alloy_primitives::{B256, Bytes, hex};
use alloy_sol_types::{Panic, Revert, SolError};
use jsonrpsee::types::ErrorObjectOwned;
use tributary_pool::PoolError;
use tributary_state::StateError;

/// JSON-RPC error codes beside those of the JSON-RPC specification.
mod code {
    pub(super) const SERVER: i32 = -32000;
    pub(super) const NOT_FOUND: i32 = -32001;
    pub(super) const LIMIT: i32 = -32005;
    pub(super) const INVALID_PARAMS: i32 = -32602;
    pub(super) const INTERNAL: i32 = -32603;
    pub(super) const REVERT: i32 = 3;
    pub(super) const NOT_MINED: i32 = 4;
}

/// Why a request got no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RpcError {
    /// No such block here.
    #[error("block not found: {}", block_name(.0))]
    BlockNotFound(BlockId),
    /// No such transaction here.
    #[error("transaction not found")]
    TransactionNotFound,
    /// No such filter, or it was not polled for too long.
    #[error("filter not found")]
    FilterNotFound,
    /// A parameter that says nothing sensible.
    #[error("{0}")]
    InvalidParams(String),
    /// More was asked for than this node gives at once.
    #[error("{0}")]
    LimitExceeded(String),
    /// The pool refused the transaction.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// A sent transaction would pay more than the operator of this node lets pass.
    #[error("tx fee ({fee}) exceeds the configured cap ({cap})")]
    FeeCap {
        /// Gas times fee cap, in wei.
        fee: u128,
        /// The cap, in wei.
        cap: u128,
    },
    /// A simulation that cannot be, with the code that its specification has for that.
    #[error("{message}")]
    Simulation {
        /// The code.
        code: i32,
        /// What is wrong.
        message: String,
    },
    /// The transaction was taken, and is in no block yet (EIP-7966).
    #[error("the transaction was added to the mempool but wasn't processed in {patience:?}")]
    NotMined {
        /// The transaction.
        hash: B256,
        /// How long was waited.
        patience: std::time::Duration,
    },
    /// The condition of a transaction does not hold.
    #[error("{message}")]
    Conditional {
        /// op-geth's code.
        code: i32,
        /// What is wrong.
        message: String,
    },
    /// The sequencer refused the transaction.
    #[error("{}", .0.message())]
    Sequencer(ErrorObjectOwned),
    /// The call reverted.
    #[error("execution reverted{}", revert_reason(.0))]
    Reverted(Bytes),
    /// The call ended without a result.
    #[error("{0}")]
    Halted(String),
    /// The call could not begin.
    #[error("{0}")]
    InvalidTransaction(String),
    /// Enough gas for the call is more than what may be asked for.
    #[error("gas required exceeds allowance ({0})")]
    GasRequiredExceedsAllowance(u64),
    /// The call took too long.
    #[error("execution aborted (timeout = {0:?})")]
    Timeout(std::time::Duration),
    /// The trace took too long.
    #[error("execution timeout")]
    TraceTimeout,
    /// Not this node's business.
    #[error("{0}")]
    Unsupported(String),
    /// State could not be read.
    #[error("state: {0}")]
    State(#[from] StateError),
    /// Something that is this node's fault.
    #[error("{0}")]
    Internal(String),
}

impl RpcError {
    /// Wraps an error that nobody outside can do anything about.
    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }

    fn code(&self) -> i32 {
        match self {
            Self::BlockNotFound(_) | Self::State(StateError::TooOld { .. }) => code::NOT_FOUND,
            Self::InvalidParams(_) => code::INVALID_PARAMS,
            Self::LimitExceeded(_) => code::LIMIT,
            Self::Reverted(_) => code::REVERT,
            Self::NotMined { .. } => code::NOT_MINED,
            Self::Simulation { code, .. } | Self::Conditional { code, .. } => *code,
            Self::State(_) | Self::Internal(_) => code::INTERNAL,
            _ => code::SERVER,
        }
    }
}

impl From<RpcError> for ErrorObjectOwned {
    fn from(error: RpcError) -> Self {
        let (code, message) = (error.code(), error.to_string());
        if code == code::INTERNAL {
            tracing::warn!(target: "rpc", %message, "internal error");
        }
        match error {
            RpcError::Sequencer(refusal) => refusal,
            RpcError::NotMined { hash, .. } => Self::owned(code, message, Some(hash)),
            RpcError::Reverted(output) => Self::owned(code, message, Some(hex::encode_prefixed(output))),
            _ => Self::owned(code, message, None::<()>),
        }
    }
}

fn block_name(id: &BlockId) -> String {
    match id {
        BlockId::Hash(hash) => format!("hash {}", hash.block_hash),
        BlockId::Number(number) => number.to_string(),
    }
}

/// `Error(string)` and `Panic(uint256)` are spelt out; other data speaks for itself.
fn revert_reason(output: &Bytes) -> String {
    if let Ok(revert) = Revert::abi_decode(output) {
        return format!(": {}", revert.reason);
    }
    Panic::abi_decode(output).map(|panic| format!(": {panic}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revert_carries_its_reason_and_its_data() {
        let output: Bytes = Revert::from("no funds").abi_encode().into();
        let error = ErrorObjectOwned::from(RpcError::Reverted(output.clone()));
        assert_eq!(error.code(), 3);
        assert_eq!(error.message(), "execution reverted: no funds");
        assert_eq!(error.data().unwrap().get(), format!("\"{output}\""));
        let bare = ErrorObjectOwned::from(RpcError::Reverted(Bytes::new()));
        assert_eq!((bare.message(), bare.data().unwrap().get()), ("execution reverted", "\"0x\""));
    }

    #[test]
    fn blocks_are_named_as_they_were_asked_for() {
        let message = RpcError::BlockNotFound(BlockId::finalized()).to_string();
        assert_eq!(message, "block not found: finalized");
        assert_eq!(RpcError::BlockNotFound(BlockId::number(16)).to_string(), "block not found: 0x10");
    }
}
