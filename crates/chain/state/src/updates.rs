//! What a change of state does to the stored trie.

use alloy_primitives::{
    B256,
    map::{B256Map, HashMap},
};
use alloy_trie::{BranchNodeCompact, Nibbles};

/// Branch nodes by path: `Some` to store, `None` to remove.
pub type NodeUpdates = HashMap<Nibbles, Option<BranchNodeCompact>>;

/// Updates of the account trie and of all storage tries that changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrieUpdates {
    /// Nodes of the account trie.
    pub account_nodes: NodeUpdates,
    /// Nodes of storage tries, by hashed address.
    pub storages: B256Map<StorageTrieUpdates>,
    /// The storage root of every account whose leaf changed and that still exists.
    pub storage_roots: B256Map<B256>,
}

/// Updates of one storage trie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageTrieUpdates {
    /// Every node stored before is gone.
    pub wiped: bool,
    /// Nodes by path.
    pub nodes: NodeUpdates,
}
