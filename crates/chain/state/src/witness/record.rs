//! What an execution reads.

use super::ProofTargets;
use crate::{
    Account, AccountProof, HashedPostState, StateError, StateProvider, StateReader, StateRef, TrieUpdates,
};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256, map::B256Map};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};

/// A state that remembers what it was asked for.
#[derive(Debug)]
pub struct Recorder {
    inner: StateRef,
    record: Mutex<Record>,
}

/// What a state was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Accounts, there or not, and the slots of each.
    pub accounts: BTreeMap<Address, BTreeSet<B256>>,
    /// Code.
    pub codes: BTreeMap<B256, Bytes>,
    /// The lowest block whose hash was asked for.
    pub oldest_block: Option<u64>,
}

impl Record {
    /// The accounts and slots, under their hashes.
    pub fn targets(&self) -> ProofTargets {
        let hashed = |slots: &BTreeSet<B256>| slots.iter().map(keccak256).collect();
        self.accounts.iter().map(|(address, slots)| (keccak256(address), hashed(slots))).collect()
    }

    /// Addresses and slots as they are before they are hashed; each slot once.
    pub fn preimages(&self) -> Vec<Bytes> {
        let slots: BTreeSet<&B256> = self.accounts.values().flatten().collect();
        let addresses = self.accounts.keys().map(|address| Bytes::copy_from_slice(address.as_slice()));
        addresses.chain(slots.into_iter().map(|slot| Bytes::copy_from_slice(slot.as_slice()))).collect()
    }
}

impl Recorder {
    /// Over a state.
    pub fn new(inner: StateRef) -> Self {
        Self { inner, record: Mutex::default() }
    }

    /// What was asked for so far.
    pub fn record(&self) -> Record {
        self.record.lock().clone()
    }

    fn note(&self, address: Address) {
        self.record.lock().accounts.entry(address).or_default();
    }
}

impl StateReader for Recorder {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.note(address);
        self.inner.account(address)
    }

    fn storage(&self, address: Address, slot: B256) -> Result<U256, StateError> {
        self.record.lock().accounts.entry(address).or_default().insert(slot);
        self.inner.storage(address, slot)
    }

    fn code(&self, code_hash: B256) -> Result<Option<Bytes>, StateError> {
        let code = self.inner.code(code_hash)?;
        if let Some(code) = code.as_ref().filter(|_| code_hash != KECCAK256_EMPTY) {
            self.record.lock().codes.insert(code_hash, code.clone());
        }
        Ok(code)
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        let mut record = self.record.lock();
        record.oldest_block = Some(record.oldest_block.map_or(number, |oldest| oldest.min(number)));
        drop(record);
        self.inner.block_hash(number)
    }
}

impl StateProvider for Recorder {
    fn state_root(&self, changes: &HashedPostState) -> Result<(B256, TrieUpdates), StateError> {
        self.inner.state_root(changes)
    }

    fn storage_root(&self, address: Address, changes: &HashedPostState) -> Result<B256, StateError> {
        self.note(address);
        self.inner.storage_root(address, changes)
    }

    fn proof(&self, address: Address, slots: &[B256]) -> Result<AccountProof, StateError> {
        self.inner.proof(address, slots)
    }

    fn nodes(&self, targets: &ProofTargets) -> Result<B256Map<Bytes>, StateError> {
        self.inner.nodes(targets)
    }

    fn slots(
        &self,
        hashed: B256,
        changes: &HashedPostState,
        start: B256,
        limit: usize,
    ) -> Result<Vec<(B256, U256)>, StateError> {
        self.inner.slots(hashed, changes, start, limit)
    }
}
