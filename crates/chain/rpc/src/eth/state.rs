//! Accounts, code, slots and proofs.

use crate::{RpcContext, RpcError};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, EIP1186StorageProof};
use alloy_serde::JsonStorageKey;

/// Slots of one `eth_getProof`.
const MAX_PROOF_SLOTS: usize = 1024;

impl RpcContext {
    /// Wei of an account.
    pub(crate) fn balance_of(&self, address: Address, block: Option<BlockId>) -> Result<U256, RpcError> {
        let (_, state) = self.state(block.unwrap_or_default())?;
        Ok(state.account(address)?.unwrap_or_default().balance)
    }

    /// Code of an account.
    pub(crate) fn code_of(&self, address: Address, block: Option<BlockId>) -> Result<Bytes, RpcError> {
        let (_, state) = self.state(block.unwrap_or_default())?;
        Ok(state.account_code(address)?)
    }

    /// One slot of an account.
    pub(crate) fn slot_of(
        &self,
        address: Address,
        slot: B256,
        block: Option<BlockId>,
    ) -> Result<B256, RpcError> {
        let (_, state) = self.state(block.unwrap_or_default())?;
        Ok(state.storage(address, slot)?.into())
    }

    /// The account's next nonce; with `pending`, after its transactions in the pool.
    pub(crate) fn nonce_of(&self, address: Address, block: Option<BlockId>) -> Result<u64, RpcError> {
        let block = block.unwrap_or_default();
        if block == BlockId::Number(BlockNumberOrTag::Pending)
            && let Some(nonce) = self.pool.next_nonce(&address)
        {
            return Ok(nonce);
        }
        let (_, state) = self.state(block)?;
        Ok(state.account(address)?.unwrap_or_default().nonce)
    }

    /// Merkle proof of an account and some of its slots.
    pub(crate) fn proof_of(
        &self,
        address: Address,
        keys: Vec<JsonStorageKey>,
        block: Option<BlockId>,
    ) -> Result<EIP1186AccountProofResponse, RpcError> {
        if keys.len() > MAX_PROOF_SLOTS {
            return Err(RpcError::LimitExceeded(format!(
                "too many slots: {}, at most {MAX_PROOF_SLOTS}",
                keys.len()
            )));
        }
        let (header, state) = self.state(block.unwrap_or_default())?;
        let behind = self.chain.head().number.saturating_sub(header.number);
        if behind > self.config.proof_window {
            return Err(RpcError::InvalidParams(format!(
                "distance to target block exceeds maximum proof window: {behind} > {}",
                self.config.proof_window
            )));
        }
        let slots: Vec<B256> = keys.iter().map(JsonStorageKey::as_b256).collect();
        let proof = state.proof(address, &slots)?;
        proof.verify(header.state_root).map_err(RpcError::internal)?;
        self.nodes.remember(proof.proof.iter().chain(proof.storage.iter().flat_map(|slot| &slot.proof)));
        let storage = keys.into_iter().zip(&proof.storage);
        Ok(EIP1186AccountProofResponse {
            address,
            balance: proof.account.unwrap_or_default().balance,
            code_hash: proof.account.unwrap_or_default().code_hash,
            nonce: proof.account.unwrap_or_default().nonce,
            storage_hash: proof.storage_root,
            account_proof: proof.proof.clone(),
            storage_proof: storage
                .map(|(key, slot)| EIP1186StorageProof { key, value: slot.value, proof: slot.proof.clone() })
                .collect(),
        })
    }
}
