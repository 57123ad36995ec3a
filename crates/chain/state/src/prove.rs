//! Proofs out of stored leaves and nodes.

use crate::{
    Account, AccountProof, ProofTargets, StateError, StorageProof,
    root::{encode_leaf, encode_slot},
    source::Source,
    walk::Walk,
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256, map::B256Map};
use alloy_trie::{
    EMPTY_ROOT_HASH, HashBuilder, Nibbles,
    proof::{ProofNodes, ProofRetainer},
};

/// Proof of an account and of some of its slots.
pub(crate) fn prove(
    source: &Source<'_>,
    address: Address,
    slots: &[B256],
) -> Result<AccountProof, StateError> {
    let hashed = keccak256(address);
    let leaf = source.account(hashed)?;
    let key = Nibbles::unpack(hashed);
    let walk = Walk::new(source.accounts(&[])?, source.account_nodes()?, encode_leaf, retaining(vec![key]));
    let nodes = walk.run(&[key])?.proof;
    let storage_root = leaf.map_or(EMPTY_ROOT_HASH, |leaf| leaf.storage_root);
    Ok(AccountProof {
        address,
        account: leaf.map(Account::from),
        storage_root,
        proof: branch(&nodes, &key),
        storage: if storage_root == EMPTY_ROOT_HASH {
            slots
                .iter()
                .map(|slot| StorageProof { slot: *slot, value: U256::ZERO, proof: Vec::new() })
                .collect()
        } else {
            prove_slots(source, hashed, slots)?
        },
    })
}

/// One walk for all slots.
fn prove_slots(source: &Source<'_>, hashed: B256, slots: &[B256]) -> Result<Vec<StorageProof>, StateError> {
    let mut keys: Vec<_> = slots.iter().map(|slot| Nibbles::unpack(keccak256(slot))).collect();
    keys.sort_unstable();
    keys.dedup();
    let leaves = source.slots(hashed, &[], false)?;
    let walk = Walk::new(leaves, source.storage_nodes(hashed, false)?, encode_slot, retaining(keys.clone()));
    let nodes = walk.run(&keys)?.proof;
    slots
        .iter()
        .map(|slot| {
            let key = keccak256(slot);
            let value = source.slot(hashed, key)?;
            Ok(StorageProof { slot: *slot, value, proof: branch(&nodes, &Nibbles::unpack(key)) })
        })
        .collect()
}

/// Nodes on the way to many keys, by hash.
pub(crate) fn nodes(source: &Source<'_>, targets: &ProofTargets) -> Result<B256Map<Bytes>, StateError> {
    if targets.is_empty() {
        // A retainer without targets would keep the root.
        return Ok(B256Map::default());
    }
    let keys: Vec<_> = targets.keys().map(Nibbles::unpack).collect();
    let builder = retaining(keys.clone());
    let walk = Walk::new(source.accounts(&[])?, source.account_nodes()?, encode_leaf, builder);
    let mut found = B256Map::default();
    add_hashed(&mut found, walk.run(&keys)?.proof);
    for (hashed, slots) in targets.iter().filter(|(_, slots)| !slots.is_empty()) {
        let stored = source.account(*hashed)?.is_some_and(|leaf| leaf.storage_root != EMPTY_ROOT_HASH);
        if stored {
            let keys: Vec<_> = slots.iter().map(Nibbles::unpack).collect();
            let builder = retaining(keys.clone());
            let leaves = source.slots(*hashed, &[], false)?;
            let walk = Walk::new(leaves, source.storage_nodes(*hashed, false)?, encode_slot, builder);
            add_hashed(&mut found, walk.run(&keys)?.proof);
        }
    }
    Ok(found)
}

/// Keeps the nodes that are named by a hash: the root, and those of 32 bytes and more.
pub(crate) fn add_hashed(found: &mut B256Map<Bytes>, nodes: ProofNodes) {
    for (path, node) in nodes.into_inner() {
        let is_named = path.is_empty() && node.as_ref() != [alloy_rlp::EMPTY_STRING_CODE];
        if is_named || node.len() >= 32 {
            found.insert(keccak256(&node), node);
        }
    }
}

fn retaining(keys: Vec<Nibbles>) -> HashBuilder {
    HashBuilder::default().with_proof_retainer(ProofRetainer::new(keys))
}

/// The nodes on the way to a key.
fn branch(nodes: &ProofNodes, key: &Nibbles) -> Vec<Bytes> {
    listed(nodes.matching_nodes_sorted(key))
}

/// What a proof lists of the nodes on a way. An empty trie has none; one of less than 32 bytes is part of its parent.
pub(crate) fn listed(nodes: Vec<(Nibbles, Bytes)>) -> Vec<Bytes> {
    let nodes = nodes.into_iter().filter(|(path, node)| {
        node.len() >= 32 || (path.is_empty() && node.as_ref() != [alloy_rlp::EMPTY_STRING_CODE])
    });
    nodes.map(|(_, node)| node).collect()
}
