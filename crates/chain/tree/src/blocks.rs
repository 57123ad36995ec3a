//! The tree of blocks in memory.
//!
//! `canonical` names every canonical block above the last one that the store and the fork choice agree on, and some
//! written ones beneath it. What is not in it and not above the head is in the store.

use crate::node::Node;
use alloy_primitives::{B256, map::B256Map};
use std::collections::BTreeMap;
use tributary_spec::SealedHeader;
use tributary_store::{BlockNumHash, Snapshot, StoreError};

/// Blocks in memory, the head, and the labels.
pub(crate) struct Blocks {
    nodes: B256Map<Node>,
    canonical: BTreeMap<u64, B256>,
    /// Transactions of the canonical blocks in memory.
    transactions: B256Map<(B256, usize)>,
    pub(crate) head: SealedHeader,
    pub(crate) safe: Option<SealedHeader>,
    pub(crate) finalized: Option<SealedHeader>,
    /// The store's head.
    pub(crate) persisted: BlockNumHash,
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
            canonical: BTreeMap::new(),
            transactions: B256Map::default(),
            head,
            safe,
            finalized,
            persisted,
        }
    }

    pub(crate) fn node(&self, hash: B256) -> Option<&Node> {
        self.nodes.get(&hash)
    }

    /// Adds a block off the canonical chain.
    pub(crate) fn insert(&mut self, node: Node) {
        self.nodes.entry(node.header().hash()).or_insert(node);
    }

    /// Where the canonical block of this number is.
    pub(crate) fn place(&self, number: u64) -> Place {
        if number > self.head.number {
            return Place::Nowhere;
        }
        match self.canonical.get(&number).and_then(|hash| self.nodes.get(hash)) {
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
            self.nodes.entry(hash).or_insert_with(|| node.clone());
            for (index, tx) in node.executed().block.transactions().iter().enumerate() {
                self.transactions.insert(tx.tx_hash(), (hash, index));
            }
        }
        self.head = new.last().map_or_else(|| ancestor.clone(), |node| node.header().clone());
    }

    fn forget_transactions(&mut self, hash: B256) {
        let Some(node) = self.nodes.get(&hash) else { return };
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
            self.prune_side(side - max_side);
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

    /// The oldest forks go first; of blocks ahead of the head, those farthest ahead.
    fn prune_side(&mut self, excess: usize) {
        let head = self.head.number;
        let mut side: Vec<(bool, u64, B256)> = self
            .nodes
            .iter()
            .map(|(hash, node)| (node.number(), *hash))
            .filter(|(number, hash)| self.canonical.get(number) != Some(hash))
            .map(|(number, hash)| {
                (number > head, if number > head { u64::MAX - number } else { number }, hash)
            })
            .collect();
        side.sort_unstable();
        for (_, _, hash) in side.into_iter().take(excess) {
            self.nodes.remove(&hash);
        }
    }
}
