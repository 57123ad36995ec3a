//! Witnesses: what it takes to execute a block where there is no state.

use crate::{RpcContext, RpcError};
use alloy_eips::BlockId;
use alloy_primitives::{B256, Bytes};
use tributary_evm::{BuildAttributes, BuildError, Witness, WitnessBuildError};
use tributary_spec::Header;

/// What geth puts before the hash of code in its database.
const CODE_PREFIX: u8 = b'c';

/// Gas limit of a payload that anybody may have executed; more only if its parent had half as much.
const MAX_GAS: u64 = 1_000_000_000;

impl RpcContext {
    /// Executes a block again and tells what that took.
    pub(super) fn execution_witness(&self, id: BlockId) -> Result<Witness, RpcError> {
        let block = self.block(id)?.ok_or(RpcError::BlockNotFound(id))?;
        if block.number() == 0 {
            return Err(RpcError::Unsupported("genesis was not executed".to_owned()));
        }
        let (parent, state) = self.state(BlockId::hash(block.parent_hash()))?;
        let ancestors = |hash| self.ancestor(hash);
        let witness = self.executor.witness(&parent, (*block).clone(), state, &ancestors)?;
        self.nodes.remember(&witness.state);
        Ok(witness)
    }

    /// Builds a block of what attributes force into it, keeps it nowhere, and tells what that took.
    pub fn payload_witness(&self, parent: B256, attributes: BuildAttributes) -> Result<Witness, RpcError> {
        let (parent, state) = self.state(BlockId::hash(parent))?;
        let most = MAX_GAS.max(parent.gas_limit.saturating_mul(2));
        if attributes.gas_limit > most {
            return Err(RpcError::LimitExceeded(format!(
                "gas limit {} is beyond the {most} that are executed here",
                attributes.gas_limit
            )));
        }
        let ancestors = |hash| self.ancestor(hash);
        let (_, witness) = self.executor.payload_witness(&parent, attributes, state, &ancestors)?;
        self.nodes.remember(&witness.state);
        Ok(witness)
    }

    /// What geth's database would have under a key: code (`c` and its hash, or the hash alone), or a trie node that a
    /// witness or a proof of late had. Nodes are stored by their path here and not found by their hash otherwise.
    pub(super) fn db_get(&self, key: &[u8]) -> Result<Option<Bytes>, RpcError> {
        match *key {
            [CODE_PREFIX, ref hash @ ..] if hash.len() == 32 => self.code(B256::from_slice(hash)),
            ref hash if hash.len() == 32 => {
                let hash = B256::from_slice(hash);
                match self.nodes.get(hash) {
                    Some(node) => Ok(Some(node)),
                    None => self.code(hash),
                }
            }
            _ => Err(RpcError::InvalidParams(format!(
                "key of {} bytes: only hashes of 32 bytes, and 0x63 before the hash of code, are known",
                key.len()
            ))),
        }
    }

    /// Code by its hash.
    pub(super) fn code(&self, hash: B256) -> Result<Option<Bytes>, RpcError> {
        self.chain.code(hash).map_err(RpcError::internal)
    }

    fn ancestor(&self, hash: B256) -> Option<Header> {
        let header = self.chain.header_by_hash(hash).ok()??;
        Some(header.inner().clone())
    }
}

impl From<WitnessBuildError> for RpcError {
    fn from(error: WitnessBuildError) -> Self {
        match error {
            WitnessBuildError::State(error) | WitnessBuildError::Build(BuildError::State(error)) => {
                Self::State(error)
            }
            WitnessBuildError::Build(error @ (BuildError::Attributes(_) | BuildError::Forced { .. })) => {
                Self::InvalidParams(error.to_string())
            }
            error => Self::internal(error),
        }
    }
}
