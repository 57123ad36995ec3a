//! `debug_storageRangeAt`: an account's storage in the middle of a block, part by part.

use crate::{RpcContext, RpcError};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use serde::Serialize;
use std::collections::BTreeMap;
use tributary_state::HashedPostState;

/// Most slots of one answer.
const MAX_SLOTS: usize = 4096;

/// Some slots, as geth answers them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageRange {
    /// By the hash of the slot's key.
    storage: BTreeMap<B256, StorageEntry>,
    /// Where the next part begins; null at the end.
    next_key: Option<B256>,
}

/// One slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StorageEntry {
    /// The key before it was hashed; known of slots that the block has changed so far.
    key: Option<B256>,
    value: B256,
}

impl RpcContext {
    /// Slots of an account before the transaction `index` of a block. `start` is a hashed key, or the beginning of one.
    pub(super) fn storage_range(
        &self,
        id: BlockId,
        index: usize,
        address: Address,
        start: &Bytes,
        limit: u64,
    ) -> Result<StorageRange, RpcError> {
        let block = self.block(id)?.ok_or(RpcError::BlockNotFound(id))?;
        if block.number() == 0 {
            return Err(RpcError::Unsupported("genesis has no transactions".to_owned()));
        }
        if index > block.transactions().len() {
            let message = format!("transaction index {index} out of range for block {}", block.hash());
            return Err(RpcError::InvalidParams(message));
        }
        let (_, state) = self.state(BlockId::hash(block.parent_hash()))?;
        let mut sandbox = self.before(&block)?;
        sandbox.advance(block.recovered().take(index))?;
        let bundle = sandbox.changes();
        let changes = HashedPostState::from_bundle(bundle);
        let changed = bundle.state.get(&address).into_iter().flat_map(|account| account.storage.keys());
        let plain: BTreeMap<B256, B256> =
            changed.map(|slot| B256::from(*slot)).map(|slot| (keccak256(slot), slot)).collect();

        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(MAX_SLOTS);
        let mut slots = state.slots(keccak256(address), &changes, padded(start)?, limit + 1)?;
        let next_key = slots.get(limit).map(|(hash, _)| *hash);
        slots.truncate(limit);
        let entry = |(hash, value): (B256, U256)| {
            (hash, StorageEntry { key: plain.get(&hash).copied(), value: value.into() })
        };
        Ok(StorageRange { storage: slots.into_iter().map(entry).collect(), next_key })
    }
}

fn padded(start: &[u8]) -> Result<B256, RpcError> {
    let mut key = B256::ZERO;
    key.get_mut(..start.len())
        .ok_or_else(|| RpcError::InvalidParams(format!("a key has 32 bytes, not {}", start.len())))?
        .copy_from_slice(start);
    Ok(key)
}
