//! Reverse diffs of one block: leaves and nodes apart, because nodes are pruned sooner or later.

use super::{
    FORMAT, Reader, decode_leaf, decode_node, decode_path, decode_value, encode_leaf, encode_node,
    encode_value, put_chunk, put_varint,
};
use crate::{AccountLeaf, StateDiff, StorageDiff, StoreError};
use alloy_primitives::{B256, map::B256Map};
use alloy_trie::{BranchNodeCompact, Nibbles};

pub(crate) fn encode_leaf_diff(diff: &StateDiff) -> Vec<u8> {
    let mut out = vec![FORMAT];
    let mut scratch = Vec::new();
    put_varint(diff.accounts.len() as u64, &mut out);
    for (hashed, leaf) in &diff.accounts {
        out.extend_from_slice(hashed.as_slice());
        scratch.clear();
        if let Some(leaf) = leaf {
            encode_leaf(leaf, &mut scratch);
        }
        put_chunk(&scratch, &mut out);
    }
    let storages: Vec<_> = diff.storages.iter().filter(|(_, storage)| !storage.slots.is_empty()).collect();
    put_varint(storages.len() as u64, &mut out);
    for (hashed, storage) in storages {
        out.extend_from_slice(hashed.as_slice());
        put_varint(storage.slots.len() as u64, &mut out);
        for (slot, value) in &storage.slots {
            out.extend_from_slice(slot.as_slice());
            put_chunk(&encode_value(*value), &mut out);
        }
    }
    out
}

pub(crate) fn encode_node_diff(diff: &StateDiff) -> Vec<u8> {
    let mut out = vec![FORMAT];
    put_nodes(&diff.account_nodes, &mut out);
    let storages: Vec<_> = diff.storages.iter().filter(|(_, storage)| !storage.nodes.is_empty()).collect();
    put_varint(storages.len() as u64, &mut out);
    for (hashed, storage) in storages {
        out.extend_from_slice(hashed.as_slice());
        put_nodes(&storage.nodes, &mut out);
    }
    out
}

fn put_nodes(nodes: &[(Nibbles, Option<BranchNodeCompact>)], out: &mut Vec<u8>) {
    let mut scratch = Vec::new();
    put_varint(nodes.len() as u64, out);
    for (path, node) in nodes {
        put_chunk(&path.to_vec(), out);
        scratch.clear();
        if let Some(node) = node {
            encode_node(node, &mut scratch);
        }
        put_chunk(&scratch, out);
    }
}

/// Joins the two halves again.
pub(crate) fn decode_diff(leaves: &[u8], nodes: &[u8]) -> Result<StateDiff, StoreError> {
    let mut reader = Reader::new(leaves, "leaf diff");
    reader.format()?;
    let accounts = take_accounts(&mut reader)?;
    let mut storages = B256Map::<StorageDiff>::default();
    for _ in 0..reader.count(33)? {
        let hashed = reader.hash()?;
        storages.entry(hashed).or_default().slots = take_slots(&mut reader)?;
    }
    reader.finish()?;

    let mut reader = Reader::new(nodes, "node diff");
    reader.format()?;
    let account_nodes = take_nodes(&mut reader)?;
    for _ in 0..reader.count(33)? {
        let hashed = reader.hash()?;
        storages.entry(hashed).or_default().nodes = take_nodes(&mut reader)?;
    }
    reader.finish()?;

    let mut storages: Vec<_> = storages.into_iter().collect();
    storages.sort_unstable_by_key(|(hashed, _)| *hashed);
    Ok(StateDiff { accounts, account_nodes, storages })
}

fn take_accounts(reader: &mut Reader<'_>) -> Result<Vec<(B256, Option<AccountLeaf>)>, StoreError> {
    (0..reader.count(33)?)
        .map(|_| {
            let hashed = reader.hash()?;
            let bytes = reader.chunk()?;
            let leaf = if bytes.is_empty() { None } else { Some(decode_leaf(bytes)?) };
            Ok((hashed, leaf))
        })
        .collect()
}

fn take_slots(reader: &mut Reader<'_>) -> Result<Vec<(B256, alloy_primitives::U256)>, StoreError> {
    (0..reader.count(33)?)
        .map(|_| {
            let slot = reader.hash()?;
            Ok((slot, decode_value(reader.chunk()?)?))
        })
        .collect()
}

fn take_nodes(reader: &mut Reader<'_>) -> Result<Vec<(Nibbles, Option<BranchNodeCompact>)>, StoreError> {
    (0..reader.count(2)?)
        .map(|_| {
            let path = decode_path(reader.chunk()?)?;
            let bytes = reader.chunk()?;
            let node = if bytes.is_empty() { None } else { Some(decode_node(bytes)?) };
            Ok((path, node))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::U256;
    use proptest::prelude::*;

    fn sample() -> StateDiff {
        let node =
            BranchNodeCompact::new(0b111, 0b1, 0b11, vec![B256::repeat_byte(1), B256::repeat_byte(2)], None);
        let leaf = AccountLeaf { nonce: 7, balance: U256::from(1_000), ..Default::default() };
        let storage = StorageDiff {
            wiped: false,
            slots: vec![(B256::repeat_byte(3), U256::ZERO), (B256::repeat_byte(4), U256::MAX)],
            nodes: vec![(Nibbles::new(), Some(node.clone())), (Nibbles::from_nibbles([1, 2]), None)],
        };
        let only_nodes = StorageDiff { slots: vec![], ..storage.clone() };
        StateDiff {
            accounts: vec![(B256::repeat_byte(5), Some(leaf)), (B256::repeat_byte(6), None)],
            account_nodes: vec![(Nibbles::from_nibbles([0xf]), Some(node))],
            storages: vec![(B256::repeat_byte(5), storage), (B256::repeat_byte(7), only_nodes)],
        }
    }

    #[test]
    fn diffs_round_trip() {
        for diff in [StateDiff::default(), sample()] {
            assert_eq!(decode_diff(&encode_leaf_diff(&diff), &encode_node_diff(&diff)).unwrap(), diff);
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let (leaves, nodes) = (encode_leaf_diff(&sample()), encode_node_diff(&sample()));
        for cut in 0..leaves.len() {
            assert!(decode_diff(&leaves[..cut], &nodes).is_err());
        }
        for cut in 0..nodes.len() {
            assert!(decode_diff(&leaves, &nodes[..cut]).is_err());
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(leaves: Vec<u8>, nodes: Vec<u8>) {
            let _ = decode_diff(&leaves, &nodes);
        }
    }
}
