//! Changes of leaves and trie nodes, forward or backward.

use alloy_primitives::{B256, KECCAK256_EMPTY, U256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use alloy_trie::{BranchNodeCompact, EMPTY_ROOT_HASH, Nibbles};

/// A leaf of the account trie. Its RLP is the leaf's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct AccountLeaf {
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
    /// Root of the account's storage trie.
    pub storage_root: B256,
    /// Keccak of the account's code.
    pub code_hash: B256,
}

impl Default for AccountLeaf {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, storage_root: EMPTY_ROOT_HASH, code_hash: KECCAK256_EMPTY }
    }
}

/// Leaves and nodes to write: present ones to put, absent ones (`None`, a zero slot) to delete.
///
/// Every list is sorted by its key and names each key once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateDiff {
    /// Account leaves by hashed address.
    pub accounts: Vec<(B256, Option<AccountLeaf>)>,
    /// Branch nodes of the account trie by path.
    pub account_nodes: Vec<(Nibbles, Option<BranchNodeCompact>)>,
    /// Storage by hashed address.
    pub storages: Vec<(B256, StorageDiff)>,
}

/// The part of a [`StateDiff`] that belongs to one account's storage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageDiff {
    /// Nothing that lies beneath this diff is left. Never set in a diff that is written: there every
    /// removal is spelled out.
    pub wiped: bool,
    /// Slots by hashed key; zero deletes.
    pub slots: Vec<(B256, U256)>,
    /// Branch nodes of the storage trie by path.
    pub nodes: Vec<(Nibbles, Option<BranchNodeCompact>)>,
}

impl StateDiff {
    /// Leaves named in this diff: accounts and slots.
    pub fn leaves(&self) -> usize {
        self.accounts.len() + self.storages.iter().map(|(_, storage)| storage.slots.len()).sum::<usize>()
    }

    /// Trie nodes named in this diff.
    pub fn nodes(&self) -> usize {
        self.account_nodes.len() + self.storages.iter().map(|(_, storage)| storage.nodes.len()).sum::<usize>()
    }
}
