//! Rebuilds the whole trie from the leaves and compares it with what is stored.

use crate::{
    StateError,
    cursor::Seek,
    root::{encode_leaf, encode_slot},
};
use alloy_primitives::{B256, KECCAK256_EMPTY};
use alloy_trie::{BranchNodeCompact, HashBuilder, Nibbles};
use std::collections::BTreeMap;
use tributary_store::{Snapshot, Store, Table};

/// What a check of the state saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateReport {
    /// The root rebuilt from the leaves, to compare with the head's header.
    pub root: B256,
    /// Accounts.
    pub accounts: u64,
    /// Slots of all accounts.
    pub slots: u64,
    /// Branch nodes of the account trie and of all storage tries.
    pub nodes: u64,
}

/// Rebuilds every trie from its leaves. An error says what does not match: a storage root, a branch node, missing
/// code, leaves of accounts that are not there. `progress` is called with the number of accounts done.
pub fn verify_state(store: &Store, mut progress: impl FnMut(u64)) -> Result<StateReport, StateError> {
    let snapshot = store.snapshot();
    let mut report = StateReport::default();
    let mut storage_nodes = 0;
    let mut builder = HashBuilder::default().with_updates(true);
    let mut value = Vec::new();
    let mut accounts = snapshot.accounts()?;
    let mut entry = accounts.seek(&B256::ZERO)?;
    while let Some((hashed, leaf)) = entry {
        let storage = verify_storage(&snapshot, hashed)?;
        if storage.root != leaf.storage_root {
            return Err(StateError::Corrupt(format!(
                "account {hashed}: its storage root is not that of its slots"
            )));
        }
        if leaf.code_hash != KECCAK256_EMPTY && snapshot.code(leaf.code_hash)?.is_none() {
            return Err(StateError::MissingCode(leaf.code_hash));
        }
        value.clear();
        encode_leaf(&leaf, &mut value);
        builder.add_leaf(Nibbles::unpack(hashed), &value);
        report.accounts += 1;
        report.slots += storage.slots;
        storage_nodes += storage.nodes;
        progress(report.accounts);
        entry = accounts.next()?;
    }
    let (root, nodes) = finish(builder);
    compare(&nodes, snapshot.account_nodes()?, "the account trie")?;
    report.root = root;
    report.nodes = storage_nodes + nodes.len() as u64;
    for (table, expected) in [(Table::Storages, report.slots), (Table::StorageNodes, storage_nodes)] {
        let mut rows = 0u64;
        store.dump(table, |_, _| rows += 1)?;
        if rows != expected {
            let name = table.name();
            return Err(StateError::Corrupt(format!(
                "table {name} has {rows} rows where {expected} are due"
            )));
        }
    }
    Ok(report)
}

struct Storage {
    root: B256,
    slots: u64,
    nodes: u64,
}

fn verify_storage(snapshot: &Snapshot, hashed: B256) -> Result<Storage, StateError> {
    let mut builder = HashBuilder::default().with_updates(true);
    let (mut slots, mut value) = (0, Vec::new());
    let mut cursor = snapshot.slots(hashed)?;
    let mut entry = cursor.seek(&B256::ZERO)?;
    while let Some((slot, number)) = entry {
        value.clear();
        encode_slot(&number, &mut value);
        builder.add_leaf(Nibbles::unpack(slot), &value);
        slots += 1;
        entry = cursor.next()?;
    }
    let (root, nodes) = finish(builder);
    compare(&nodes, snapshot.storage_nodes(hashed)?, "a storage trie")?;
    Ok(Storage { root, slots, nodes: nodes.len() as u64 })
}

fn finish(mut builder: HashBuilder) -> (B256, BTreeMap<Nibbles, BranchNodeCompact>) {
    let root = builder.root();
    let nodes = builder
        .split()
        .1
        .into_iter()
        .map(|(path, node)| (path, BranchNodeCompact { root_hash: None, ..node }));
    (root, nodes.collect())
}

/// Stored nodes must be the built ones, no more and no fewer.
fn compare(
    built: &BTreeMap<Nibbles, BranchNodeCompact>,
    mut stored: impl Seek<Nibbles, BranchNodeCompact>,
    which: &str,
) -> Result<(), StateError> {
    let differ = |path: &Nibbles| {
        Err(StateError::Corrupt(format!("{which}: node at {path:?} is not what its leaves give")))
    };
    let mut entry = stored.seek(&Nibbles::new())?;
    for (path, node) in built {
        if entry.as_ref() != Some(&(*path, node.clone())) {
            return differ(path);
        }
        entry = stored.next()?;
    }
    entry.map_or(Ok(()), |(path, _)| differ(&path))
}
