//! Changes into partial tries.

use super::trie::{NodeSource, PartialTrie};
use crate::{HashedPostState, HashedStorage, StateError, TrieUpdates, WitnessError};
use alloy_primitives::{B256, U256};
use alloy_rlp::Decodable;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use std::collections::BTreeSet;
use tributary_store::AccountLeaf;

/// The account leaf under a hashed address.
pub(super) fn account<S: NodeSource>(
    source: &S,
    root: B256,
    hashed: B256,
) -> Result<Option<AccountLeaf>, StateError> {
    read_leaf(&mut PartialTrie::new(None, root, source), hashed)
}

fn read_leaf<S: NodeSource>(
    trie: &mut PartialTrie<'_, S>,
    hashed: B256,
) -> Result<Option<AccountLeaf>, StateError> {
    let Some(mut bytes) = trie.get(hashed)? else { return Ok(None) };
    let leaf = AccountLeaf::decode(&mut bytes).map_err(|error| bad_value(None, hashed, &error))?;
    Ok(Some(leaf))
}

/// A slot of the storage trie with this root.
pub(super) fn slot<S: NodeSource>(
    source: &S,
    owner: B256,
    root: B256,
    slot: B256,
) -> Result<U256, StateError> {
    match PartialTrie::new(Some(owner), root, source).get(slot)? {
        Some(mut bytes) => U256::decode(&mut bytes).map_err(|error| bad_value(Some(owner), slot, &error)),
        None => Ok(U256::ZERO),
    }
}

fn bad_value(owner: Option<B256>, key: B256, error: &alloy_rlp::Error) -> StateError {
    let reason = format!("value: {error}");
    WitnessError::MalformedNode { owner, path: Nibbles::unpack(key), reason }.into()
}

/// The root after `changes` of the trie with root `root`, and the leaves that changed.
pub(super) fn state_root<S: NodeSource>(
    source: &S,
    root: B256,
    changes: &HashedPostState,
) -> Result<(B256, TrieUpdates), StateError> {
    let mut trie = PartialTrie::new(None, root, source);
    let mut updates = TrieUpdates::default();
    let changed: BTreeSet<B256> = changes.accounts.keys().chain(changes.storages.keys()).copied().collect();
    let (mut gone, mut set) = (Vec::new(), Vec::new());
    for hashed in changed {
        let old = read_leaf(&mut trie, hashed)?;
        let leaf = new_leaf(source, hashed, old, changes)?;
        updates.leaves.insert(hashed, leaf);
        match leaf {
            Some(leaf) => set.push((hashed, alloy_rlp::encode(leaf))),
            None => gone.push(hashed),
        }
    }
    gone.into_iter().try_for_each(|hashed| trie.remove(hashed))?;
    set.into_iter().try_for_each(|(hashed, leaf)| trie.set(hashed, leaf))?;
    Ok((trie.root(), updates))
}

fn new_leaf<S: NodeSource>(
    source: &S,
    hashed: B256,
    old: Option<AccountLeaf>,
    changes: &HashedPostState,
) -> Result<Option<AccountLeaf>, StateError> {
    let account = changes.accounts.get(&hashed);
    if account.is_some_and(Option::is_none) {
        return Ok(None);
    }
    let storage_root = storage_root(source, hashed, old, changes)?;
    Ok(match account {
        Some(account) => account.map(|account| account.leaf(storage_root)),
        None => old.map(|old| AccountLeaf { storage_root, ..old }),
    })
}

/// The storage root after `changes` of an account that was `old`.
pub(super) fn storage_root<S: NodeSource>(
    source: &S,
    hashed: B256,
    old: Option<AccountLeaf>,
    changes: &HashedPostState,
) -> Result<B256, StateError> {
    if changes.accounts.get(&hashed).is_some_and(Option::is_none) {
        return Ok(EMPTY_ROOT_HASH);
    }
    let root = old.map_or(EMPTY_ROOT_HASH, |old| old.storage_root);
    match changes.storages.get(&hashed) {
        Some(storage) => changed_storage(source, hashed, root, storage),
        None => Ok(root),
    }
}

fn changed_storage<S: NodeSource>(
    source: &S,
    owner: B256,
    root: B256,
    storage: &HashedStorage,
) -> Result<B256, StateError> {
    let root = if storage.wiped { EMPTY_ROOT_HASH } else { root };
    let mut trie = PartialTrie::new(Some(owner), root, source);
    let (mut gone, mut set): (Vec<_>, Vec<_>) =
        storage.slots.iter().map(|(slot, value)| (*slot, *value)).partition(|(_, value)| value.is_zero());
    gone.sort_unstable();
    set.sort_unstable();
    gone.into_iter().try_for_each(|(slot, _)| trie.remove(slot))?;
    set.into_iter().try_for_each(|(slot, value)| trie.set(slot, alloy_rlp::encode(value)))?;
    Ok(trie.root())
}
