//! One block's changes in sorted form, to lie over other states.

use crate::{HashedPostState, TrieUpdates, updates::NodeUpdates};
use alloy_primitives::{B256, Bytes, U256, map::B256Set};
use alloy_trie::{BranchNodeCompact, Nibbles};
use tributary_store::{AccountLeaf, StateDiff, StorageDiff};

/// Leaves, trie nodes and code of one block, or of several merged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer {
    diff: StateDiff,
    codes: Vec<(B256, Bytes)>,
}

impl Layer {
    /// What a block changed, and what that did to the trie.
    pub fn new(changes: &HashedPostState, trie: &TrieUpdates) -> Self {
        let gone = trie.leaves.iter().filter(|(_, leaf)| leaf.is_none()).map(|(hashed, _)| hashed);
        let touched: B256Set =
            changes.storages.keys().chain(trie.storages.keys()).chain(gone).copied().collect();
        let storages =
            sorted(touched.into_iter().map(|hashed| (hashed, storage_diff(changes, trie, hashed))));
        let diff = StateDiff {
            accounts: sorted(trie.leaves.iter().map(|(hashed, leaf)| (*hashed, *leaf))),
            account_nodes: sorted_nodes(&trie.account_nodes),
            storages,
        };
        Self { diff, codes: sorted(changes.codes.iter().map(|(hash, code)| (*hash, code.clone()))) }
    }

    /// A diff whose lists are sorted, as the store gives it.
    pub const fn from_diff(diff: StateDiff) -> Self {
        Self { diff, codes: Vec::new() }
    }

    /// The changes.
    pub const fn diff(&self) -> &StateDiff {
        &self.diff
    }

    /// Code that appeared, by hash.
    pub fn codes(&self) -> &[(B256, Bytes)] {
        &self.codes
    }

    /// Leaves and nodes in the layer: a measure of its size in memory.
    pub fn len(&self) -> usize {
        self.diff.leaves() + self.diff.nodes()
    }

    /// True if the block changed nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn account(&self, hashed: &B256) -> Option<Option<AccountLeaf>> {
        find(&self.diff.accounts, hashed).copied()
    }

    pub(crate) fn storage(&self, hashed: &B256) -> Option<&StorageDiff> {
        find(&self.diff.storages, hashed)
    }

    /// The slot's value if this layer decides it.
    pub(crate) fn slot(&self, hashed: &B256, slot: &B256) -> Option<U256> {
        let storage = self.storage(hashed)?;
        find(&storage.slots, slot).copied().or_else(|| storage.wiped.then_some(U256::ZERO))
    }

    pub(crate) fn code(&self, hash: &B256) -> Option<&Bytes> {
        find(&self.codes, hash)
    }
}

fn storage_diff(changes: &HashedPostState, trie: &TrieUpdates, hashed: B256) -> StorageDiff {
    let gone = trie.leaves.get(&hashed).is_some_and(Option::is_none);
    let (storage, nodes) = (changes.storages.get(&hashed), trie.storages.get(&hashed));
    StorageDiff {
        wiped: gone || storage.is_some_and(|storage| storage.wiped) || nodes.is_some_and(|nodes| nodes.wiped),
        slots: match storage {
            Some(storage) if !gone => sorted(storage.slots.iter().map(|(slot, value)| (*slot, *value))),
            _ => Vec::new(),
        },
        nodes: nodes.map(|nodes| sorted_nodes(&nodes.nodes)).unwrap_or_default(),
    }
}

fn sorted_nodes(nodes: &NodeUpdates) -> Vec<(Nibbles, Option<BranchNodeCompact>)> {
    sorted(nodes.iter().map(|(path, node)| (*path, node.clone())))
}

pub(crate) fn sorted<K: Ord + Copy, V>(entries: impl IntoIterator<Item = (K, V)>) -> Vec<(K, V)> {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    entries
}

pub(crate) fn find<'a, K: Ord, V>(entries: &'a [(K, V)], key: &K) -> Option<&'a V> {
    entries.binary_search_by(|(other, _)| other.cmp(key)).ok().map(|at| &entries[at].1)
}
