//! The nodes with which another can do the same.

use super::{ProofTargets, fold, trie::NodeSource};
use crate::{HashedPostState, StateError, StateProvider};
use alloy_primitives::{B256, Bytes, map::B256Map};
use alloy_trie::Nibbles;
use std::cell::RefCell;

/// Every node that reading `read` and folding `changes` into the state of root `root` takes. `state` is that state.
pub fn collect_nodes(
    state: &dyn StateProvider,
    root: B256,
    read: &ProofTargets,
    changes: &HashedPostState,
) -> Result<Vec<Bytes>, StateError> {
    let mut targets = read.clone();
    for hashed in changes.accounts.keys() {
        targets.entry(*hashed).or_default();
    }
    for (hashed, storage) in changes.storages.iter().filter(|(_, storage)| !storage.wiped) {
        let gone = changes.accounts.get(hashed).is_some_and(Option::is_none);
        targets.entry(*hashed).or_default().extend(storage.slots.keys().filter(|_| !gone));
    }
    let nodes = Collector { state, found: RefCell::new(state.nodes(&targets)?) };
    let (folded, _) = fold::state_root(&nodes, root, changes)?;
    let (expected, _) = state.state_root(changes)?;
    if folded != expected {
        return Err(StateError::Corrupt(format!(
            "stored nodes lead to root {expected}, their proofs to {folded}"
        )));
    }
    let mut nodes: Vec<_> = nodes.found.into_inner().into_iter().collect();
    nodes.sort_unstable_by_key(|(hash, _)| *hash);
    Ok(nodes.into_iter().map(|(_, node)| node).collect())
}

/// Asks the state for what is not there yet.
struct Collector<'a> {
    state: &'a dyn StateProvider,
    found: RefCell<B256Map<Bytes>>,
}

impl NodeSource for Collector<'_> {
    fn node(&self, owner: Option<B256>, hash: B256, path: &Nibbles) -> Result<Bytes, StateError> {
        if let Some(node) = self.found.borrow().get(&hash) {
            return Ok(node.clone());
        }
        // A node beside the way to every key: any key that begins with its path leads to it.
        let mut key = B256::ZERO;
        let packed = path.pack();
        key[..packed.len()].copy_from_slice(&packed);
        let targets = match owner {
            None => ProofTargets::from([(key, Default::default())]),
            Some(owner) => ProofTargets::from([(owner, [key].into())]),
        };
        let node = self.state.nodes(&targets)?.remove(&hash);
        let node = node.ok_or_else(|| {
            StateError::Corrupt(format!("trie node {hash} at {path:?} is not what is stored there"))
        })?;
        self.found.borrow_mut().insert(hash, node.clone());
        Ok(node)
    }
}
