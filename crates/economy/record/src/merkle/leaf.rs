//! Leaves: `keccak256(keccak256(abi.encode(index, fields…)))`.

use crate::abi::Words;
use alloy_primitives::{Address, B256, U256};

/// Leaf of a contribution in its datanet's tree.
#[must_use]
pub fn contribution_leaf(
    index: u32,
    contributor: Address,
    content_hash: B256,
    tokens_root: B256,
    tokens: u64,
    commit_block: u64,
) -> B256 {
    Words::new()
        .uint(index)
        .address(contributor)
        .word(content_hash)
        .word(tokens_root)
        .uint(tokens)
        .uint(commit_block)
        .leaf()
}

/// Leaf of a record in its batch's tree; `hash` is the hash of the record's bytes.
#[must_use]
pub fn record_leaf(index: u32, hash: B256) -> B256 {
    Words::new().uint(index).word(hash).leaf()
}

/// Leaf of a chunk in a contribution's tokens tree; `hash` is the hash of the chunk's ids, u32 big-endian.
#[must_use]
pub fn chunk_leaf(index: u32, hash: B256) -> B256 {
    Words::new().uint(index).word(hash).leaf()
}

/// Leaf of an account in an agent's payout tree.
#[must_use]
pub fn payout_leaf(index: u32, account: Address, cumulative: U256) -> B256 {
    Words::new().uint(index).address(account).u256(cumulative).leaf()
}
