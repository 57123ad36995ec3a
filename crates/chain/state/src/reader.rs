//! The traits through which everything above reads state.

use crate::{Account, AccountProof, HashedPostState, ProofTargets, StateError, TrieUpdates};
use alloy_primitives::{Address, B256, Bytes, U256, map::B256Map};
use std::{fmt::Debug, sync::Arc};

/// Reads of the state after one block.
pub trait StateReader: Send + Sync + Debug {
    /// The account, or `None` if it is not in the trie.
    fn account(&self, address: Address) -> Result<Option<Account>, StateError>;

    /// The value of a slot (plain, unhashed key); zero where nothing is stored.
    fn storage(&self, address: Address, slot: B256) -> Result<U256, StateError>;

    /// Code by its hash. The empty hash gives empty code.
    fn code(&self, code_hash: B256) -> Result<Option<Bytes>, StateError>;

    /// The hash of the canonical block `number` as seen from this state's block (itself included).
    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError>;

    /// The code of an account; empty if it has none.
    fn account_code(&self, address: Address) -> Result<Bytes, StateError> {
        let Some(account) = self.account(address)?.filter(Account::has_code) else {
            return Ok(Bytes::new());
        };
        self.code(account.code_hash)?.ok_or(StateError::MissingCode(account.code_hash))
    }
}

/// State that can also be hashed and proved.
pub trait StateProvider: StateReader {
    /// The state root after `changes`, and what they do to the stored trie.
    fn state_root(&self, changes: &HashedPostState) -> Result<(B256, TrieUpdates), StateError>;

    /// The storage root of one account after `changes`.
    fn storage_root(&self, address: Address, changes: &HashedPostState) -> Result<B256, StateError>;

    /// Merkle proof of an account (present or absent) and of some of its slots.
    fn proof(&self, address: Address, slots: &[B256]) -> Result<AccountProof, StateError>;

    /// The nodes of account and storage tries on the way to some keys, there or not, by their hashes. Nodes so short that
    /// they stand in their parents are not listed.
    fn nodes(&self, targets: &ProofTargets) -> Result<B256Map<Bytes>, StateError>;

    /// Slots of an account that are not zero, with `changes` on top, in order of their hashes: `limit` at most, from
    /// `start` on. Addresses and slots are hashed.
    fn slots(
        &self,
        hashed: B256,
        changes: &HashedPostState,
        start: B256,
        limit: usize,
    ) -> Result<Vec<(B256, U256)>, StateError>;
}

/// A state to share between threads.
pub type StateRef = Arc<dyn StateProvider>;
