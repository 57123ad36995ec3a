//! Errors, with the codes of the Engine API's specification. An invalid block is none: that is a status.

use alloy_primitives::B256;
use alloy_rpc_types_engine::PayloadId;
use jsonrpsee::types::ErrorObjectOwned;
use tributary_builder::PayloadError;
use tributary_evm::Severity;
use tributary_tree::TreeError;

use crate::Version;

/// Codes of <https://github.com/ethereum/execution-apis/blob/main/src/engine/common.md#errors>.
mod code {
    pub(super) const UNKNOWN_PAYLOAD: i32 = -38001;
    pub(super) const INVALID_FORKCHOICE_STATE: i32 = -38002;
    pub(super) const INVALID_PAYLOAD_ATTRIBUTES: i32 = -38003;
    pub(super) const TOO_LARGE_REQUEST: i32 = -38004;
    pub(super) const UNSUPPORTED_FORK: i32 = -38005;
    pub(super) const TOO_DEEP_REORG: i32 = -38006;
    pub(super) const INVALID_PARAMS: i32 = -32602;
    pub(super) const SERVER: i32 = -32000;
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The payload was never asked for, or was asked for so long ago that its job ended.
    #[error("unknown payload: {0}")]
    UnknownPayload(PayloadId),
    /// Head, safe and finalized block contradict each other or the chain.
    #[error("invalid forkchoice state: {0}")]
    ForkchoiceState(String),
    /// No block can be made of these attributes.
    #[error("invalid payload attributes: {0}")]
    Attributes(String),
    /// More was asked for than is given at once.
    #[error("too large request: {asked} of at most {limit}")]
    TooLarge {
        /// How many were asked for.
        asked: u64,
        /// The most that is answered.
        limit: u64,
    },
    /// The version of the method is for blocks of another fork.
    #[error("unsupported fork: {method} {version} is not for blocks of {fork} (timestamp {timestamp})")]
    UnsupportedFork {
        /// The method.
        method: &'static str,
        /// Its version.
        version: Version,
        /// The fork of the block.
        fork: &'static str,
        /// The block's time.
        timestamp: u64,
    },
    /// The new head leaves the chain deeper than blocks can be undone.
    #[error("too deep reorg: {0}")]
    TooDeepReorg(String),
    /// A parameter that the method's version does not have, or one that it lacks.
    #[error("{0}")]
    Params(String),
    /// This node failed; the call says nothing about the block.
    #[error("{0}")]
    Internal(String),
}

impl EngineError {
    const fn code(&self) -> i32 {
        match self {
            Self::UnknownPayload(_) => code::UNKNOWN_PAYLOAD,
            Self::ForkchoiceState(_) => code::INVALID_FORKCHOICE_STATE,
            Self::Attributes(_) => code::INVALID_PAYLOAD_ATTRIBUTES,
            Self::TooLarge { .. } => code::TOO_LARGE_REQUEST,
            Self::UnsupportedFork { .. } => code::UNSUPPORTED_FORK,
            Self::TooDeepReorg(_) => code::TOO_DEEP_REORG,
            Self::Params(_) => code::INVALID_PARAMS,
            Self::Internal(_) => code::SERVER,
        }
    }

    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }

    /// Zero as a head names no block.
    pub(crate) fn zero_head() -> Self {
        Self::ForkchoiceState(format!("head is {}", B256::ZERO))
    }
}

impl From<EngineError> for ErrorObjectOwned {
    fn from(error: EngineError) -> Self {
        let (code, message) = (error.code(), error.to_string());
        if code == code::SERVER {
            tracing::error!(target: "engine", %message, "Engine call failed");
        }
        Self::owned(code, message, None::<()>)
    }
}

impl From<TreeError> for EngineError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::InconsistentLabel { .. } | TreeError::UndoesFinalized { .. } => {
                Self::ForkchoiceState(error.to_string())
            }
            TreeError::TooDeep { .. } => Self::TooDeepReorg(error.to_string()),
            error => Self::internal(error),
        }
    }
}

impl From<PayloadError> for EngineError {
    fn from(error: PayloadError) -> Self {
        match error {
            PayloadError::UnknownPayload(id) => Self::UnknownPayload(id),
            PayloadError::Build(error) if error.severity() == Severity::Reject => {
                Self::Attributes(error.to_string())
            }
            error => Self::internal(error),
        }
    }
}
