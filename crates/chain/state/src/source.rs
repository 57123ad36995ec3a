//! Leaves and nodes as seen through layers: what roots and proofs are computed from.

use crate::{
    Layer, StateError,
    cursor::{Entry, Merged, Seek},
    layer::find,
};
use alloy_primitives::{B256, U256};
use alloy_trie::{BranchNodeCompact, Nibbles};
use tributary_store::{
    AccountCursor, AccountLeaf, AccountNodeCursor, SlotCursor, Snapshot, StorageDiff, StorageNodeCursor,
};

type NodeEntries = [(Nibbles, Option<BranchNodeCompact>)];

/// Layers, newest first, over a snapshot.
pub(crate) struct Source<'a> {
    pub(crate) layers: Vec<&'a Layer>,
    pub(crate) snapshot: &'a Snapshot,
}

/// The layers that have a say in one account's storage, and whether the store has.
struct StorageLayers<'a> {
    diffs: Vec<&'a StorageDiff>,
    wiped: bool,
}

impl<'a> Source<'a> {
    pub(crate) fn account(&self, hashed: B256) -> Result<Option<AccountLeaf>, StateError> {
        match self.layers.iter().find_map(|layer| layer.account(&hashed)) {
            Some(leaf) => Ok(leaf),
            None => Ok(self.snapshot.account(hashed)?),
        }
    }

    pub(crate) fn slot(&self, hashed: B256, slot: B256) -> Result<U256, StateError> {
        match self.layers.iter().find_map(|layer| layer.slot(&hashed, &slot)) {
            Some(value) => Ok(value),
            None => Ok(self.snapshot.slot(hashed, slot)?),
        }
    }

    /// Account leaves, with `changed` ones on top.
    pub(crate) fn accounts(
        &self,
        changed: &'a [(B256, Option<AccountLeaf>)],
    ) -> Result<Merged<'a, B256, Option<AccountLeaf>, AccountCursor<'a>>, StateError> {
        let layers = self.layers.iter().map(|layer| layer.diff().accounts.as_slice());
        Ok(Merged::new([changed].into_iter().chain(layers), Some(self.snapshot.accounts()?)))
    }

    /// Slots of an account, with `changed` ones on top; only those if `wiped`.
    pub(crate) fn slots(
        &self,
        hashed: B256,
        changed: &'a [(B256, U256)],
        wiped: bool,
    ) -> Result<Merged<'a, B256, U256, SlotCursor<'a>>, StateError> {
        let layers = self.storage_layers(hashed, wiped);
        let store = if layers.wiped { None } else { Some(self.snapshot.slots(hashed)?) };
        let slots = layers.diffs.into_iter().map(|diff| diff.slots.as_slice());
        Ok(Merged::new([changed].into_iter().chain(slots), store))
    }

    pub(crate) fn account_nodes(&self) -> Result<Nodes<'a, AccountNodeCursor<'a>>, StateError> {
        let overlays = self.layers.iter().map(|layer| layer.diff().account_nodes.as_slice()).collect();
        Ok(Nodes::new(overlays, Some(Stored::Account(self.snapshot)), Some(self.snapshot.account_nodes()?)))
    }

    pub(crate) fn storage_nodes(
        &self,
        hashed: B256,
        wiped: bool,
    ) -> Result<Nodes<'a, StorageNodeCursor<'a>>, StateError> {
        let layers = self.storage_layers(hashed, wiped);
        let overlays = layers.diffs.into_iter().map(|diff| diff.nodes.as_slice()).collect();
        if layers.wiped {
            return Ok(Nodes::new(overlays, None, None));
        }
        let cursor = self.snapshot.storage_nodes(hashed)?;
        Ok(Nodes::new(overlays, Some(Stored::Storage(self.snapshot, hashed)), Some(cursor)))
    }

    fn storage_layers(&self, hashed: B256, wiped: bool) -> StorageLayers<'a> {
        let mut layers = StorageLayers { diffs: Vec::new(), wiped };
        for layer in &self.layers {
            if layers.wiped {
                break;
            }
            if let Some(diff) = layer.storage(&hashed) {
                layers.diffs.push(diff);
                layers.wiped = diff.wiped;
            }
        }
        layers
    }
}

/// Which trie of the store nodes come from.
enum Stored<'a> {
    Account(&'a Snapshot),
    Storage(&'a Snapshot, B256),
}

/// Branch nodes of one trie.
pub(crate) struct Nodes<'a, C> {
    overlays: Vec<&'a NodeEntries>,
    stored: Option<Stored<'a>>,
    cursor: Merged<'a, Nibbles, Option<BranchNodeCompact>, C>,
}

impl<'a, C: Seek<Nibbles, BranchNodeCompact>> Nodes<'a, C> {
    fn new(overlays: Vec<&'a NodeEntries>, stored: Option<Stored<'a>>, cursor: Option<C>) -> Self {
        let cursor = Merged::new(overlays.iter().copied(), cursor);
        Self { overlays, stored, cursor }
    }

    /// The topmost stored node at `path` or beneath it.
    pub(crate) fn top(&mut self, path: &Nibbles) -> Result<Option<(Nibbles, BranchNodeCompact)>, StateError> {
        // Nearly always it is at the path itself; only under an extension node it is deeper.
        if let Some(node) = self.exact(path)? {
            return Ok(Some((*path, node)));
        }
        Ok(self.cursor.seek(path)?.filter(|(found, _)| found.starts_with(path)))
    }

    fn exact(&self, path: &Nibbles) -> Result<Option<BranchNodeCompact>, StateError> {
        if let Some(entry) = self.overlays.iter().find_map(|nodes| find(nodes, path)) {
            return Ok(entry.value());
        }
        match &self.stored {
            None => Ok(None),
            Some(Stored::Account(snapshot)) => Ok(snapshot.account_node(path)?),
            Some(Stored::Storage(snapshot, hashed)) => Ok(snapshot.storage_node(*hashed, path)?),
        }
    }
}
