//! What a change of state does to the stored trie.

use alloy_primitives::map::{B256Map, HashMap};
use alloy_trie::{BranchNodeCompact, Nibbles};
use tributary_store::AccountLeaf;

/// Branch nodes by path: `Some` to store, `None` to remove.
pub type NodeUpdates = HashMap<Nibbles, Option<BranchNodeCompact>>;

/// Updates of the account trie and of all storage tries that changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrieUpdates {
    /// The new leaf of every account that changed, by hashed address; `None` for one that is gone.
    pub leaves: B256Map<Option<AccountLeaf>>,
    /// Nodes of the account trie.
    pub account_nodes: NodeUpdates,
    /// Nodes of storage tries, by hashed address.
    pub storages: B256Map<StorageTrieUpdates>,
}

/// Updates of one storage trie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageTrieUpdates {
    /// Every node stored before is gone.
    pub wiped: bool,
    /// Nodes by path.
    pub nodes: NodeUpdates,
}

impl StorageTrieUpdates {
    /// True if nothing stored changes.
    pub fn is_empty(&self) -> bool {
        !self.wiped && self.nodes.is_empty()
    }
}
