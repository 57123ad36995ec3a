//! Branch nodes.

use super::Reader;
use crate::StoreError;
use alloy_trie::{BranchNodeCompact, TrieMask};

/// `state mask ‖ tree mask ‖ hash mask ‖ hashes`
pub(crate) fn encode_node(node: &BranchNodeCompact, out: &mut Vec<u8>) {
    for mask in [node.state_mask, node.tree_mask, node.hash_mask] {
        out.extend_from_slice(&mask.get().to_be_bytes());
    }
    for hash in node.hashes.iter() {
        out.extend_from_slice(hash.as_slice());
    }
}

pub(crate) fn decode_node(bytes: &[u8]) -> Result<BranchNodeCompact, StoreError> {
    let mut reader = Reader::new(bytes, "trie node");
    let state = TrieMask::new(reader.u16()?);
    let tree = TrieMask::new(reader.u16()?);
    let hash = TrieMask::new(reader.u16()?);
    if !tree.is_subset_of(state) || !hash.is_subset_of(state) {
        return Err(reader.error("masks contradict each other"));
    }
    let hashes = (0..hash.get().count_ones()).map(|_| reader.hash()).collect::<Result<Vec<_>, _>>()?;
    reader.finish()?;
    Ok(BranchNodeCompact::new(state, tree, hash, hashes, None))
}

/// The node less its hashes that `later` has at the same places: `masks ‖ mask of those in common ‖ the other hashes`
pub(crate) fn encode_partial(node: &BranchNodeCompact, later: &BranchNodeCompact, out: &mut Vec<u8>) {
    for mask in [node.state_mask, node.tree_mask, node.hash_mask] {
        out.extend_from_slice(&mask.get().to_be_bytes());
    }
    let mut common = TrieMask::default();
    let mut others = Vec::new();
    for nibble in (0..16).filter(|nibble| node.hash_mask.is_bit_set(*nibble)) {
        let hash = node.hash_for_nibble(nibble);
        if later.hash_mask.is_bit_set(nibble) && later.hash_for_nibble(nibble) == hash {
            common.set_bit(nibble);
        } else {
            others.push(hash);
        }
    }
    out.extend_from_slice(&common.get().to_be_bytes());
    others.iter().for_each(|hash| out.extend_from_slice(hash.as_slice()));
}

pub(crate) fn decode_partial(
    bytes: &[u8],
    later: &BranchNodeCompact,
) -> Result<BranchNodeCompact, StoreError> {
    let mut reader = Reader::new(bytes, "part of a trie node");
    let state = TrieMask::new(reader.u16()?);
    let tree = TrieMask::new(reader.u16()?);
    let hash = TrieMask::new(reader.u16()?);
    let common = TrieMask::new(reader.u16()?);
    let fits = tree.is_subset_of(state) && hash.is_subset_of(state);
    if !fits || !common.is_subset_of(hash) || !common.is_subset_of(later.hash_mask) {
        return Err(reader.error("masks contradict each other"));
    }
    let hashes = (0..16)
        .filter(|nibble| hash.is_bit_set(*nibble))
        .map(
            |nibble| {
                if common.is_bit_set(nibble) { Ok(later.hash_for_nibble(nibble)) } else { reader.hash() }
            },
        )
        .collect::<Result<Vec<_>, _>>()?;
    reader.finish()?;
    Ok(BranchNodeCompact::new(state, tree, hash, hashes, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nodes_round_trip(state: u16, tree: u16, hash: u16) {
            let (tree, hash) = (tree & state, hash & state);
            let hashes = (0..hash.count_ones()).map(|i| B256::repeat_byte(i as u8)).collect();
            let node = BranchNodeCompact::new(state, tree, hash, hashes, None);
            let mut bytes = Vec::new();
            encode_node(&node, &mut bytes);
            prop_assert_eq!(decode_node(&bytes).unwrap(), node);
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = decode_node(&bytes);
        }
    }
}
