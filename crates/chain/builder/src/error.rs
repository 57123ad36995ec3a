//! What can go wrong while building.

use alloy_primitives::B256;
use alloy_rpc_types_engine::PayloadId;
use tributary_evm::BuildError;
use tributary_state::StateError;
use tributary_tree::TreeError;

/// Why there is no payload.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The parent is not in the tree.
    #[error("parent {0} is unknown")]
    UnknownParent(B256),
    /// There is no job of this id; it ended, or it never was.
    #[error("payload {0} is unknown")]
    UnknownPayload(PayloadId),
    /// The attributes or a forced transaction are invalid, or state could not be read; see [`BuildError::severity`].
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Chain data could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// State could not be read.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Why the dev sequencer made no block.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevError {
    /// The genesis file does not say that this is a dev chain.
    #[error("chain {0} is not a dev chain: its blocks come from a rollup node")]
    NotDev(u64),
    /// The simulated L1 speaks Jovian's deposit only.
    #[error("Jovian is not active at genesis")]
    BeforeJovian,
    /// The parent does not begin with an L1-attributes deposit.
    #[error("block {0} does not begin with an L1-attributes deposit")]
    NoL1Attributes(u64),
    /// The block could not be built.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

impl From<TreeError> for DevError {
    fn from(error: TreeError) -> Self {
        Self::Payload(error.into())
    }
}
