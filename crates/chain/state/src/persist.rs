//! What a layer does to the store, spelled out, and what it takes to go back.

use crate::{Layer, StateError};
use alloy_primitives::{B256, U256};
use alloy_trie::{BranchNodeCompact, Nibbles};
use std::collections::BTreeMap;
use tributary_store::{Snapshot, StateDiff, StorageDiff};

/// A layer against the store it lies on: only what differs, and no wipes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Leaves and nodes to write.
    pub forward: StateDiff,
    /// What they replace.
    pub reverse: StateDiff,
}

/// Compares a layer with the store's state, which must be the one it lies on.
pub fn resolve(snapshot: &Snapshot, layer: &Layer) -> Result<Resolved, StateError> {
    let mut resolved = Resolved::default();
    for (hashed, leaf) in &layer.diff().accounts {
        let old = snapshot.account(*hashed)?;
        if old != *leaf {
            resolved.forward.accounts.push((*hashed, *leaf));
            resolved.reverse.accounts.push((*hashed, old));
        }
    }
    for (path, node) in &layer.diff().account_nodes {
        let old = snapshot.account_node(path)?;
        if old != *node {
            resolved.forward.account_nodes.push((*path, node.clone()));
            resolved.reverse.account_nodes.push((*path, old));
        }
    }
    for (hashed, storage) in &layer.diff().storages {
        let (forward, reverse) = resolve_storage(snapshot, *hashed, storage)?;
        if !forward.slots.is_empty() || !forward.nodes.is_empty() {
            resolved.forward.storages.push((*hashed, forward));
            resolved.reverse.storages.push((*hashed, reverse));
        }
    }
    Ok(resolved)
}

fn resolve_storage(
    snapshot: &Snapshot,
    hashed: B256,
    storage: &StorageDiff,
) -> Result<(StorageDiff, StorageDiff), StateError> {
    let (mut forward, mut reverse) = (StorageDiff::default(), StorageDiff::default());
    for (slot, (old, new)) in slot_changes(snapshot, hashed, storage)? {
        if old != new {
            forward.slots.push((slot, new));
            reverse.slots.push((slot, old));
        }
    }
    for (path, (old, new)) in node_changes(snapshot, hashed, storage)? {
        if old != new {
            forward.nodes.push((path, new));
            reverse.nodes.push((path, old));
        }
    }
    Ok((forward, reverse))
}

type Changes<K, V> = BTreeMap<K, (V, V)>;

fn slot_changes(
    snapshot: &Snapshot,
    hashed: B256,
    storage: &StorageDiff,
) -> Result<Changes<B256, U256>, StateError> {
    let mut changes = Changes::new();
    if storage.wiped {
        let mut cursor = snapshot.slots(hashed)?;
        let mut entry = cursor.seek(&B256::ZERO)?;
        while let Some((slot, old)) = entry {
            changes.insert(slot, (old, U256::ZERO));
            entry = cursor.next()?;
        }
    }
    for (slot, new) in &storage.slots {
        let old = match changes.get(slot) {
            Some((old, _)) => *old,
            None if storage.wiped => U256::ZERO,
            None => snapshot.slot(hashed, *slot)?,
        };
        changes.insert(*slot, (old, *new));
    }
    Ok(changes)
}

fn node_changes(
    snapshot: &Snapshot,
    hashed: B256,
    storage: &StorageDiff,
) -> Result<Changes<Nibbles, Option<BranchNodeCompact>>, StateError> {
    let mut changes = Changes::new();
    if storage.wiped {
        let mut cursor = snapshot.storage_nodes(hashed)?;
        let mut entry = cursor.seek(&Nibbles::new())?;
        while let Some((path, old)) = entry {
            changes.insert(path, (Some(old), None));
            entry = cursor.next()?;
        }
    }
    for (path, new) in &storage.nodes {
        let old = match changes.remove(path) {
            Some((old, _)) => old,
            None if storage.wiped => None,
            None => snapshot.storage_node(hashed, path)?,
        };
        changes.insert(*path, (old, new.clone()));
    }
    Ok(changes)
}
