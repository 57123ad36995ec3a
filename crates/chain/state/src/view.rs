//! The state after one block: layers in memory over the store's present or past.

use crate::{
    Account, AccountProof, HashedPostState, Layer, PastLayers, ProofTargets, StateError, StateProvider,
    StateReader, TrieUpdates, cursor::Seek, layer::sorted, prove, root, source::Source,
};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256, map::B256Map};
use std::sync::{Arc, OnceLock};
use tributary_store::{AccountLeaf, BlockNumHash, Snapshot};

/// State after a block. It holds a snapshot, so it stays what it is whatever is written meanwhile.
#[derive(Debug)]
pub struct StateView {
    /// Blocks above the base, newest first.
    layers: Vec<Arc<Layer>>,
    /// The hashes of those blocks.
    recent: Vec<BlockNumHash>,
    snapshot: Snapshot,
    /// The persisted head of the snapshot.
    head: BlockNumHash,
    /// The block the layers lie on: the head, or one before it.
    base: u64,
    past: Arc<PastLayers>,
    reverse: OnceLock<Arc<Layer>>,
}

impl StateView {
    /// The state after the persisted block `base` of the snapshot's chain, with `layers` over it, newest first;
    /// `recent` names the blocks of the layers.
    pub fn new(
        snapshot: Snapshot,
        base: u64,
        layers: Vec<Arc<Layer>>,
        recent: Vec<BlockNumHash>,
        past: Arc<PastLayers>,
    ) -> Result<Self, StateError> {
        let head = snapshot.head()?.ok_or_else(|| StateError::Corrupt("the store has no head".into()))?;
        if base > head.number {
            return Err(StateError::AboveHead { number: base, head: head.number });
        }
        Ok(Self { layers, recent, snapshot, head, base, past, reverse: OnceLock::new() })
    }

    const fn is_past(&self) -> bool {
        self.base < self.head.number
    }

    /// An account leaf by hashed address.
    pub fn leaf(&self, hashed: B256) -> Result<Option<AccountLeaf>, StateError> {
        if let Some(leaf) = self.layers.iter().find_map(|layer| layer.account(&hashed)) {
            return Ok(leaf);
        }
        if self.is_past() {
            return Ok(self.snapshot.account_at(hashed, self.base)?);
        }
        Ok(self.snapshot.account(hashed)?)
    }

    /// A slot by hashed address and hashed key.
    pub fn slot(&self, hashed: B256, slot: B256) -> Result<U256, StateError> {
        if let Some(value) = self.layers.iter().find_map(|layer| layer.slot(&hashed, &slot)) {
            return Ok(value);
        }
        if self.is_past() {
            return Ok(self.snapshot.slot_at(hashed, slot, self.base)?);
        }
        Ok(self.snapshot.slot(hashed, slot)?)
    }

    fn source(&self) -> Result<Source<'_>, StateError> {
        let mut layers: Vec<&Layer> = self.layers.iter().map(AsRef::as_ref).collect();
        if self.is_past() {
            layers.push(self.reverse()?);
        }
        Ok(Source { layers, snapshot: &self.snapshot })
    }

    fn reverse(&self) -> Result<&Layer, StateError> {
        if let Some(layer) = self.reverse.get() {
            return Ok(layer);
        }
        let layer = self.past.layer(&self.snapshot, self.head, self.base)?;
        Ok(self.reverse.get_or_init(|| layer))
    }
}

impl StateReader for StateView {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.leaf(keccak256(address))?.map(Account::from))
    }

    fn storage(&self, address: Address, slot: B256) -> Result<U256, StateError> {
        self.slot(keccak256(address), keccak256(slot))
    }

    fn code(&self, code_hash: B256) -> Result<Option<Bytes>, StateError> {
        if code_hash == KECCAK256_EMPTY {
            return Ok(Some(Bytes::new()));
        }
        match self.layers.iter().find_map(|layer| layer.code(&code_hash)) {
            Some(code) => Ok(Some(code.clone())),
            None => Ok(self.snapshot.code(code_hash)?),
        }
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        if let Some(block) = self.recent.iter().find(|block| block.number == number) {
            return Ok(Some(block.hash));
        }
        if number > self.base {
            return Ok(None);
        }
        Ok(self.snapshot.hash(number)?)
    }
}

impl StateProvider for StateView {
    fn state_root(&self, changes: &HashedPostState) -> Result<(B256, TrieUpdates), StateError> {
        root::state_root(&self.source()?, changes)
    }

    fn storage_root(&self, address: Address, changes: &HashedPostState) -> Result<B256, StateError> {
        root::storage_root(&self.source()?, keccak256(address), changes)
    }

    fn proof(&self, address: Address, slots: &[B256]) -> Result<AccountProof, StateError> {
        prove::prove(&self.source()?, address, slots)
    }

    fn nodes(&self, targets: &ProofTargets) -> Result<B256Map<Bytes>, StateError> {
        prove::nodes(&self.source()?, targets)
    }

    fn slots(
        &self,
        hashed: B256,
        changes: &HashedPostState,
        start: B256,
        limit: usize,
    ) -> Result<Vec<(B256, U256)>, StateError> {
        if changes.accounts.get(&hashed).is_some_and(Option::is_none) {
            return Ok(Vec::new());
        }
        let changed = changes.storages.get(&hashed);
        let wiped = changed.is_some_and(|storage| storage.wiped);
        let slots = changed.map(|storage| sorted(storage.slots.iter().map(|(slot, value)| (*slot, *value))));
        let slots = slots.unwrap_or_default();
        let source = self.source()?;
        let source = Source { layers: source.layers, snapshot: source.snapshot };
        let mut cursor = source.slots(hashed, &slots, wiped)?;
        let mut found = Vec::new();
        let mut entry = if limit == 0 { None } else { cursor.seek(&start)? };
        while let Some(slot) = entry {
            found.push(slot);
            entry = if found.len() < limit { cursor.next()? } else { None };
        }
        Ok(found)
    }
}
