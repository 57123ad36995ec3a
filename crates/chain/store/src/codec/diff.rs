//! Reverse diffs of one block: leaves and nodes apart, because nodes are pruned sooner or later.
//!
//! A node that a block replaces differs from what replaced it in a hash or two of up to sixteen. Only those are kept: whoever goes
//! back has the later node at hand.

use super::{
    FORMAT, Reader, decode_leaf, decode_node, decode_partial, decode_path, decode_value, encode_leaf,
    encode_node, encode_partial, encode_value, put_chunk, put_varint,
};
use crate::{AccountLeaf, StateDiff, StorageDiff, StoreError};
use alloy_primitives::{B256, map::B256Map};
use alloy_trie::{BranchNodeCompact, Nibbles};

/// The form of node diffs in which nodes may be [`PARTIAL`]; before it there was [`FORMAT`], all of them whole.
const PARTIAL_NODES: u8 = 2;

/// A node as it is.
const WHOLE: u8 = 0;

/// A node less what it has in common with the one that replaced it.
const PARTIAL: u8 = 1;

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

/// Nodes as differences to those of `forward`, which replaced them.
pub(crate) fn encode_node_diff(diff: &StateDiff, forward: &StateDiff) -> Vec<u8> {
    let mut out = vec![PARTIAL_NODES];
    put_nodes(&diff.account_nodes, &forward.account_nodes, &mut out);
    let storages: Vec<_> = diff.storages.iter().filter(|(_, storage)| !storage.nodes.is_empty()).collect();
    put_varint(storages.len() as u64, &mut out);
    for (hashed, storage) in storages {
        out.extend_from_slice(hashed.as_slice());
        let forward = find(&forward.storages, hashed).map(|forward| forward.nodes.as_slice());
        put_nodes(&storage.nodes, forward.unwrap_or_default(), &mut out);
    }
    out
}

type Nodes = [(Nibbles, Option<BranchNodeCompact>)];

fn find<'a, K: Ord, V>(sorted: &'a [(K, V)], key: &K) -> Option<&'a V> {
    sorted.binary_search_by(|(at, _)| at.cmp(key)).ok().map(|at| &sorted[at].1)
}

fn put_nodes(nodes: &Nodes, later: &Nodes, out: &mut Vec<u8>) {
    let mut scratch = Vec::new();
    put_varint(nodes.len() as u64, out);
    for (path, node) in nodes {
        put_chunk(&path.to_vec(), out);
        scratch.clear();
        match (node, find(later, path).and_then(Option::as_ref)) {
            (Some(node), Some(later)) => {
                scratch.push(PARTIAL);
                encode_partial(node, later, &mut scratch);
            }
            (Some(node), None) => {
                scratch.push(WHOLE);
                encode_node(node, &mut scratch);
            }
            (None, _) => {}
        }
        put_chunk(&scratch, out);
    }
}

/// The node after the block: of the account trie, or of the storage trie of an account.
pub(crate) type Later<'a> =
    dyn FnMut(Option<B256>, &Nibbles) -> Result<Option<BranchNodeCompact>, StoreError> + 'a;

/// Joins the two halves again. `later` gives the nodes that are there after the block.
pub(crate) fn decode_diff(
    leaves: &[u8],
    nodes: &[u8],
    later: &mut Later<'_>,
) -> Result<StateDiff, StoreError> {
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
    let partial = match reader.take(1)? {
        [FORMAT] => false,
        [PARTIAL_NODES] => true,
        _ => return Err(reader.error("unknown format")),
    };
    let account_nodes = take_nodes(&mut reader, partial, &mut |path| later(None, path))?;
    for _ in 0..reader.count(33)? {
        let hashed = reader.hash()?;
        let nodes = take_nodes(&mut reader, partial, &mut |path| later(Some(hashed), path))?;
        storages.entry(hashed).or_default().nodes = nodes;
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

fn take_nodes(
    reader: &mut Reader<'_>,
    partial: bool,
    later: &mut dyn FnMut(&Nibbles) -> Result<Option<BranchNodeCompact>, StoreError>,
) -> Result<Vec<(Nibbles, Option<BranchNodeCompact>)>, StoreError> {
    (0..reader.count(2)?)
        .map(|_| {
            let path = decode_path(reader.chunk()?)?;
            let bytes = reader.chunk()?;
            let node = match bytes.split_first() {
                None => None,
                Some(_) if !partial => Some(decode_node(bytes)?),
                Some((&WHOLE, node)) => Some(decode_node(node)?),
                Some((&PARTIAL, node)) => {
                    let later = later(&path)?;
                    let later = later.ok_or_else(|| reader.error("the node that replaced one is missing"))?;
                    Some(decode_partial(node, &later)?)
                }
                Some(_) => return Err(reader.error("unknown form of a node")),
            };
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
            let (leaves, nodes) = (encode_leaf_diff(&diff), encode_node_diff(&diff, &StateDiff::default()));
            assert_eq!(decode_diff(&leaves, &nodes, &mut |_, _| Ok(None)).unwrap(), diff);
            let nodes = encode_node_diff(&diff, &later());
            let mut find_later = |owner: Option<B256>, path: &Nibbles| {
                let later = later();
                let storage = owner.and_then(|owner| find(&later.storages, &owner).cloned());
                let nodes = storage.map_or(later.account_nodes, |storage| storage.nodes);
                Ok(find(&nodes, path).cloned().flatten())
            };
            assert_eq!(decode_diff(&leaves, &nodes, &mut find_later).unwrap(), diff);
        }
    }

    /// As it was written before nodes could be partial.
    #[test]
    fn whole_nodes_of_the_first_format_are_read() {
        let diff = sample();
        let mut nodes = vec![FORMAT];
        let put = |nodes: &Nodes, out: &mut Vec<u8>| {
            put_varint(nodes.len() as u64, out);
            for (path, node) in nodes {
                put_chunk(&path.to_vec(), out);
                let mut bytes = Vec::new();
                node.iter().for_each(|node| encode_node(node, &mut bytes));
                put_chunk(&bytes, out);
            }
        };
        put(&diff.account_nodes, &mut nodes);
        put_varint(diff.storages.len() as u64, &mut nodes);
        for (hashed, storage) in &diff.storages {
            nodes.extend_from_slice(hashed.as_slice());
            put(&storage.nodes, &mut nodes);
        }
        assert_eq!(decode_diff(&encode_leaf_diff(&diff), &nodes, &mut |_, _| Ok(None)).unwrap(), diff);
    }

    #[test]
    fn a_partial_node_without_the_later_one_is_corruption() {
        let (leaves, nodes) = (encode_leaf_diff(&sample()), encode_node_diff(&sample(), &later()));
        assert!(decode_diff(&leaves, &nodes, &mut |_, _| Ok(None)).is_err());
    }

    /// What replaced the sample: some nodes changed, some came, some went.
    fn later() -> StateDiff {
        let node = BranchNodeCompact::new(
            0b111,
            0b11,
            0b110,
            vec![B256::repeat_byte(2), B256::repeat_byte(9)],
            None,
        );
        let storage = StorageDiff {
            nodes: vec![
                (Nibbles::new(), Some(node.clone())),
                (Nibbles::from_nibbles([1, 2]), Some(node.clone())),
            ],
            ..StorageDiff::default()
        };
        let gone = StorageDiff { nodes: vec![(Nibbles::new(), None)], ..StorageDiff::default() };
        StateDiff {
            accounts: Vec::new(),
            account_nodes: vec![(Nibbles::from_nibbles([0xf]), Some(node))],
            storages: vec![(B256::repeat_byte(5), storage), (B256::repeat_byte(7), gone)],
        }
    }

    #[test]
    fn unchanged_hashes_take_no_room() {
        let hashes: Vec<B256> = (0..16).map(B256::repeat_byte).collect();
        let node = |hashes| BranchNodeCompact::new(0xffff, 0, 0xffff, hashes, None);
        let mut changed = hashes.clone();
        changed[7] = B256::repeat_byte(0xee);
        let diff = |hashes| StateDiff {
            account_nodes: vec![(Nibbles::new(), Some(node(hashes)))],
            ..StateDiff::default()
        };
        assert!(encode_node_diff(&diff(hashes), &diff(changed)).len() < 64);
    }

    #[test]
    fn every_truncation_is_refused() {
        let (leaves, nodes) = (encode_leaf_diff(&sample()), encode_node_diff(&sample(), &later()));
        for cut in 0..leaves.len() {
            assert!(decode_diff(&leaves[..cut], &nodes, &mut |_, _| Ok(None)).is_err());
        }
        for cut in 0..nodes.len() {
            assert!(decode_diff(&leaves, &nodes[..cut], &mut |_, _| Ok(None)).is_err());
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(leaves: Vec<u8>, nodes: Vec<u8>) {
            let later = BranchNodeCompact::new(3, 0, 3, vec![B256::ZERO; 2], None);
            let _ = decode_diff(&leaves, &nodes, &mut |_, _| Ok(Some(later.clone())));
        }
    }
}
