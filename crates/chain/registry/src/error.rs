//! What can be wrong with a chain of the registry.

use alloy_primitives::B256;
use tributary_spec::SpecError;

/// Why a chain of the registry cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The data in this binary cannot be read.
    #[error("the bundled registry: {0}")]
    Bundle(String),
    /// The chain's first state is not in the registry.
    #[error(
        "{name} begins at block {number} with the state of its history before Bedrock, which the superchain registry \
         does not have; this node cannot be initialised for it"
    )]
    NoAllocation {
        /// The chain.
        name: String,
        /// Its first block of Bedrock.
        number: u64,
    },
    /// The genesis is not the one the registry names.
    #[error("genesis of {name} has hash {computed}, the registry says {expected}")]
    GenesisHash {
        /// The chain.
        name: String,
        /// Of the bundled genesis.
        computed: B256,
        /// By the registry.
        expected: B256,
    },
    /// This node cannot honour the chain's configuration.
    #[error(transparent)]
    Spec(#[from] SpecError),
}
