//! The tree of blocks in memory.
//!
//! `canonical` names every canonical block above the last one that the store and the fork choice agree on, and some
//! written ones beneath it. What is not in it and not above the head is in the store.

use crate::node::Node;
use alloy_primitives::{
    B256,
    map::{B256Map, B256Set},
};
use std::collections::BTreeMap;
use tributary_spec::SealedHeader;
use tributary_store::{BlockNumHash, Snapshot, StoreError};

/// Blocks in memory, the head, and the labels.
pub(crate) struct Blocks {
    nodes: B256Map<Held>,
    /// Blocks put into memory so far.
    came: u64,
    canonical: BTreeMap<u64, B256>,
    /// Transactions of the canonical blocks in memory.
    transactions: B256Map<(B256, usize)>,
    pub(crate) head: SealedHeader,
    pub(crate) safe: Option<SealedHeader>,
    pub(crate) finalized: Option<SealedHeader>,
    /// The store's head.
    pub(crate) persisted: BlockNumHash,
}

/// A block in memory.
struct Held {
    node: Node,
    /// Which one it was to come.
    came: u64,
}

/// Where a canonical block is.
pub(crate) enum Place {
    Memory(Node),
    Store,
    Nowhere,
}

impl Blocks {
    /// Only the store's head, as after a start.
    pub(crate) fn new(
        head: SealedHeader,
        safe: Option<SealedHeader>,
        finalized: Option<SealedHeader>,
    ) -> Self {
        let persisted = BlockNumHash::new(head.number, head.hash());
        Self {
            nodes: B256Map::default(),
            came: 0,
            canonical: BTreeMap::new(),
            transactions: B256Map::default(),
            head,
            safe,
            finalized,
            persisted,
        }
    }

    pub(crate) fn node(&self, hash: B256) -> Option<&Node> {
        self.nodes.get(&hash).map(|held| &held.node)
    }

    /// Adds a block off the canonical chain.
    pub(crate) fn insert(&mut self, node: Node) {
        self.came += 1;
        let came = self.came;
        self.nodes.entry(node.header().hash()).or_insert(Held { node, came });
    }

    /// Where the canonical block of this number is.
    pub(crate) fn place(&self, number: u64) -> Place {
        if number > self.head.number {
            return Place::Nowhere;
        }
        match self.canonical.get(&number).and_then(|hash| self.node(*hash)) {
            Some(node) => Place::Memory(node.clone()),
            None => Place::Store,
        }
    }

    /// The hash of the canonical block of this number.
    pub(crate) fn canonical_hash(
        &self,
        snapshot: &Snapshot,
        number: u64,
    ) -> Result<Option<B256>, StoreError> {
        match self.place(number) {
            Place::Memory(node) => Ok(Some(node.header().hash())),
            Place::Store => snapshot.hash(number),
            Place::Nowhere => Ok(None),
        }
    }

    pub(crate) fn is_canonical(&self, snapshot: &Snapshot, block: BlockNumHash) -> Result<bool, StoreError> {
        Ok(self.canonical_hash(snapshot, block.number)? == Some(block.hash))
    }

    /// A transaction of a canonical block in memory.
    pub(crate) fn transaction(&self, hash: B256) -> Option<(B256, usize)> {
        self.transactions.get(&hash).copied()
    }

    /// Numbers of canonical blocks in memory.
    pub(crate) fn in_memory(&self) -> impl Iterator<Item = u64> {
        self.canonical.keys().copied()
    }

    /// Takes canonical blocks above `ancestor` off and puts `new` ones, oldest first, in their place.
    pub(crate) fn set_canonical(&mut self, ancestor: &SealedHeader, new: &[Node]) {
        for hash in self.canonical.split_off(&(ancestor.number + 1)).into_values() {
            self.forget_transactions(hash);
        }
        for node in new {
            let hash = node.header().hash();
            self.canonical.insert(node.number(), hash);
            // It was there when it was chosen, and may have been forgotten for others since.
            self.insert(node.clone());
            for (index, tx) in node.executed().block.transactions().iter().enumerate() {
                self.transactions.insert(tx.tx_hash(), (hash, index));
            }
        }
        self.head = new.last().map_or_else(|| ancestor.clone(), |node| node.header().clone());
    }

    fn forget_transactions(&mut self, hash: B256) {
        let Some(Held { node, .. }) = self.nodes.get(&hash) else { return };
        for tx in node.executed().block.transactions() {
            if self.transactions.get(&tx.tx_hash()).is_some_and(|(block, _)| *block == hash) {
                self.transactions.remove(&tx.tx_hash());
            }
        }
    }

    /// Canonical blocks above the store's head; 0 while the store is on another branch and still goes back.
    pub(crate) fn unwritten(&self) -> u64 {
        self.head.number.saturating_sub(self.persisted.number)
    }

    /// Forgets written canonical blocks but for the last `cached`, and side blocks beyond `max_side`.
    pub(crate) fn prune(&mut self, cached: u64, max_side: usize) {
        let agreed = match self.canonical.get(&self.persisted.number) {
            Some(hash) => *hash == self.persisted.hash,
            // Not in memory: the store's, unless the head is beneath it.
            None => self.persisted.number <= self.head.number,
        };
        if agreed {
            self.prune_canonical(self.persisted.number.saturating_sub(cached));
        }
        let side = self.nodes.len() - self.canonical.len();
        if side > max_side {
            self.prune_side(side - max_side, max_side);
        }
    }

    fn prune_canonical(&mut self, keep_above: u64) {
        while let Some((number, hash)) =
            self.canonical.first_key_value().map(|(number, hash)| (*number, *hash))
        {
            if number > keep_above {
                break;
            }
            self.forget_transactions(hash);
            self.canonical.pop_first();
            self.nodes.remove(&hash);
        }
    }

    /// Of the blocks that nothing in memory stands on, the one that came first goes first, so that what stays still stands on the
    /// canonical chain. The newest, and what it stands on, stays as long as it can.
    fn prune_side(&mut self, excess: usize, max_side: usize) {
        for _ in 0..excess {
            let parents: B256Set = self.nodes.values().map(|held| held.node.header().parent_hash).collect();
            let is_side = |hash: &B256, held: &Held| self.canonical.get(&held.node.number()) != Some(hash);
            let tips =
                self.nodes.iter().filter(|(hash, held)| is_side(hash, held) && !parents.contains(*hash));
            let Some((came, hash)) = tips.map(|(hash, held)| (held.came, *hash)).min() else { return };
            let side = self.nodes.len() - self.canonical.len();
            if came == self.came && side <= 2 * max_side {
                return;
            }
            self.nodes.remove(&hash);
        }
    }
}
