//! The state root after a block, from the state before it.

use crate::{
    HashedPostState, HashedStorage, StateError, StorageTrieUpdates, TrieUpdates, fan,
    layer::sorted,
    source::Source,
    walk::{Walk, Walked},
};
use alloy_primitives::{B256, U256, map::B256Map};
use alloy_rlp::Encodable;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use rayon::prelude::*;
use tributary_store::AccountLeaf;

/// With fewer changed accounts than this on a thread, handing them over costs more than it saves.
const ACCOUNTS_PER_THREAD: usize = 8;

pub(crate) fn encode_leaf(leaf: &AccountLeaf, out: &mut Vec<u8>) {
    leaf.encode(out);
}

pub(crate) fn encode_slot(value: &U256, out: &mut Vec<u8>) {
    value.encode(out);
}

/// Root and updates of one storage trie.
struct StorageRoot {
    root: B256,
    updates: StorageTrieUpdates,
}

/// The state root after `changes`.
pub(crate) fn state_root(
    source: &Source<'_>,
    changes: &HashedPostState,
) -> Result<(B256, TrieUpdates), StateError> {
    let mut storages = storage_roots(source, changes)?;
    let mut updates = TrieUpdates { leaves: new_leaves(source, changes, &storages)?, ..Default::default() };
    let leaves = sorted(updates.leaves.iter().map(|(hashed, leaf)| (*hashed, *leaf)));
    let walked = walk_accounts(source, &leaves)?;
    updates.account_nodes = walked.nodes;
    updates.storages = storages
        .drain()
        .filter(|(_, storage)| !storage.updates.is_empty())
        .map(|(hashed, storage)| (hashed, storage.updates))
        .collect();
    Ok((walked.root, updates))
}

/// The storage root of one account after `changes`, by hashed address.
pub(crate) fn storage_root(
    source: &Source<'_>,
    hashed: B256,
    changes: &HashedPostState,
) -> Result<B256, StateError> {
    if changes.accounts.get(&hashed).is_some_and(Option::is_none) {
        return Ok(EMPTY_ROOT_HASH);
    }
    match changes.storages.get(&hashed) {
        Some(storage) => Ok(changed_storage(source, hashed, storage)?.root),
        None => Ok(source.account(hashed)?.map_or(EMPTY_ROOT_HASH, |leaf| leaf.storage_root)),
    }
}

fn storage_roots(source: &Source<'_>, changes: &HashedPostState) -> Result<B256Map<StorageRoot>, StateError> {
    let gone = HashedStorage { wiped: true, ..Default::default() };
    let is_gone = |hashed: &B256| changes.accounts.get(hashed).is_some_and(Option::is_none);
    let removed = changes.accounts.keys().filter(|hashed| is_gone(hashed)).map(|hashed| (*hashed, &gone));
    let changed = changes.storages.iter().map(|(hashed, storage)| (*hashed, storage));
    let work: Vec<_> = changed.filter(|(hashed, _)| !is_gone(hashed)).chain(removed).collect();
    work.into_par_iter()
        .with_min_len(ACCOUNTS_PER_THREAD)
        .map(|(hashed, storage)| Ok((hashed, changed_storage(source, hashed, storage)?)))
        .collect()
}

fn changed_storage(
    source: &Source<'_>,
    hashed: B256,
    storage: &HashedStorage,
) -> Result<StorageRoot, StateError> {
    if storage.wiped && storage.slots.is_empty() {
        let updates = StorageTrieUpdates { wiped: true, ..Default::default() };
        return Ok(StorageRoot { root: EMPTY_ROOT_HASH, updates });
    }
    let slots = sorted(storage.slots.iter().map(|(slot, value)| (*slot, *value)));
    let keys: Vec<_> = slots.iter().map(|(slot, _)| Nibbles::unpack(slot)).collect();
    // The changed slots outlive the walk only here, so the source is borrowed anew for their lifetime.
    let source = Source { layers: source.layers.clone(), snapshot: source.snapshot };
    let Walked { root, nodes, .. } = fan::walk(&keys, |builder| {
        let leaves = source.slots(hashed, &slots, storage.wiped)?;
        let nodes = source.storage_nodes(hashed, storage.wiped)?;
        Ok(Walk::new(leaves, nodes, encode_slot, builder))
    })?;
    Ok(StorageRoot { root, updates: StorageTrieUpdates { wiped: storage.wiped, nodes } })
}

/// The leaf of every account that changed, in itself or in its storage.
fn new_leaves(
    source: &Source<'_>,
    changes: &HashedPostState,
    storages: &B256Map<StorageRoot>,
) -> Result<B256Map<Option<AccountLeaf>>, StateError> {
    let only_storage = changes.storages.keys().filter(|hashed| !changes.accounts.contains_key(*hashed));
    changes
        .accounts
        .keys()
        .chain(only_storage)
        .map(|hashed| {
            let storage_root = storages.get(hashed).map(|storage| storage.root);
            Ok((*hashed, new_leaf(source, changes, *hashed, storage_root)?))
        })
        .collect()
}

fn new_leaf(
    source: &Source<'_>,
    changes: &HashedPostState,
    hashed: B256,
    storage_root: Option<B256>,
) -> Result<Option<AccountLeaf>, StateError> {
    let changed = changes.accounts.get(&hashed);
    if changed.is_some_and(Option::is_none) {
        return Ok(None);
    }
    let old = match (changed, storage_root) {
        (Some(_), Some(_)) => None,
        _ => source.account(hashed)?,
    };
    let storage_root = storage_root.or(old.map(|leaf| leaf.storage_root)).unwrap_or(EMPTY_ROOT_HASH);
    Ok(match changed {
        Some(account) => account.map(|account| account.leaf(storage_root)),
        None => old.map(|leaf| AccountLeaf { storage_root, ..leaf }),
    })
}

fn walk_accounts(source: &Source<'_>, leaves: &[(B256, Option<AccountLeaf>)]) -> Result<Walked, StateError> {
    let keys: Vec<_> = leaves.iter().map(|(hashed, _)| Nibbles::unpack(hashed)).collect();
    let source = Source { layers: source.layers.clone(), snapshot: source.snapshot };
    fan::walk(&keys, |builder| {
        Ok(Walk::new(source.accounts(leaves)?, source.account_nodes()?, encode_leaf, builder))
    })
}
