//! Tries of past blocks: reverse diffs merged into one layer over the present.

use crate::{Layer, StateError, layer::sorted};
use alloy_primitives::{
    B256, U256,
    map::{B256Map, HashMap},
};
use alloy_trie::{BranchNodeCompact, Nibbles};
use parking_lot::Mutex;
use schnellru::{ByLength, LruMap};
use std::sync::Arc;
use tributary_store::{AccountLeaf, BlockNumHash, Snapshot, StateDiff, StorageDiff};

/// Merged layers kept for the next question about the same block.
const KEPT: u32 = 8;

/// Layers that lead from a persisted head back to past blocks.
pub struct PastLayers {
    kept: Mutex<LruMap<u64, Kept>>,
}

#[derive(Clone)]
struct Kept {
    /// The head from which the layer leads back.
    head: BlockNumHash,
    layer: Arc<Layer>,
}

impl Default for PastLayers {
    fn default() -> Self {
        Self { kept: Mutex::new(LruMap::new(ByLength::new(KEPT))) }
    }
}

impl std::fmt::Debug for PastLayers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PastLayers")
    }
}

impl PastLayers {
    /// The layer that turns the snapshot's state into the state after block `number`.
    pub(crate) fn layer(
        &self,
        snapshot: &Snapshot,
        head: BlockNumHash,
        number: u64,
    ) -> Result<Arc<Layer>, StateError> {
        let oldest = snapshot.oldest_diff()?;
        if number + 1 < oldest {
            return Err(StateError::TooOld { number, oldest: oldest - 1 });
        }
        let kept = self.kept.lock().get(&number).cloned();
        // What was merged from an older head of the same chain goes on top of what came since.
        let kept = match kept {
            Some(kept) if snapshot.hash(kept.head.number)? == Some(kept.head.hash) => Some(kept),
            _ => None,
        };
        let layer = match kept {
            Some(kept) if kept.head == head => return Ok(kept.layer),
            Some(kept) if kept.head.number < head.number => {
                let mut merge = Merge::default();
                merge.add_blocks(snapshot, kept.head.number + 1, head.number)?;
                merge.add(kept.layer.diff().clone());
                merge.finish()
            }
            _ => {
                let mut merge = Merge::default();
                merge.add_blocks(snapshot, number + 1, head.number)?;
                merge.finish()
            }
        };
        let layer = Arc::new(Layer::from_diff(layer));
        self.kept.lock().insert(number, Kept { head, layer: layer.clone() });
        Ok(layer)
    }
}

/// Reverse diffs, newest block first: what the oldest one replaced is what was there, and the nodes so far are those that replaced
/// the next one's.
#[derive(Default)]
struct Merge {
    accounts: B256Map<Option<AccountLeaf>>,
    account_nodes: HashMap<Nibbles, Option<BranchNodeCompact>>,
    slots: B256Map<B256Map<U256>>,
    nodes: B256Map<HashMap<Nibbles, Option<BranchNodeCompact>>>,
}

impl Merge {
    fn add_blocks(&mut self, snapshot: &Snapshot, first: u64, last: u64) -> Result<(), StateError> {
        for number in (first..=last).rev() {
            let diff = snapshot
                .reverse_diff(number, &mut |owner, path| match self.node(owner, path) {
                    Some(node) => Ok(node.clone()),
                    None => snapshot.node(owner, path),
                })?
                .ok_or_else(|| StateError::Corrupt(format!("diff of block {number} is missing")))?;
            self.add(diff);
        }
        Ok(())
    }

    fn node(&self, owner: Option<B256>, path: &Nibbles) -> Option<&Option<BranchNodeCompact>> {
        match owner {
            None => self.account_nodes.get(path),
            Some(hashed) => self.nodes.get(&hashed)?.get(path),
        }
    }

    fn add(&mut self, diff: StateDiff) {
        self.accounts.extend(diff.accounts);
        self.account_nodes.extend(diff.account_nodes);
        for (hashed, storage) in diff.storages {
            if !storage.slots.is_empty() {
                self.slots.entry(hashed).or_default().extend(storage.slots);
            }
            if !storage.nodes.is_empty() {
                self.nodes.entry(hashed).or_default().extend(storage.nodes);
            }
        }
    }

    fn finish(self) -> StateDiff {
        let mut storages = B256Map::<StorageDiff>::default();
        for (hashed, slots) in self.slots {
            storages.entry(hashed).or_default().slots = sorted(slots);
        }
        for (hashed, nodes) in self.nodes {
            storages.entry(hashed).or_default().nodes = sorted(nodes);
        }
        StateDiff {
            accounts: sorted(self.accounts),
            account_nodes: sorted(self.account_nodes),
            storages: sorted(storages),
        }
    }
}
