//! Lookups: memory first, then the store.

use crate::{
    Chain, ChainConfig, LogQuery, TreeError,
    blocks::Place,
    chain::Core,
    node::{self, Node},
};
use alloy_primitives::{B256, Bytes};
use parking_lot::Mutex;
use schnellru::{ByLength, LruMap};
use std::{collections::BTreeSet, sync::Arc};
use tributary_evm::ExecutedBlock;
use tributary_spec::{Receipt, RecoveredBlock, SealedHeader};
use tributary_state::{Layer, StateRef, StateView};
use tributary_store::{BlockNumHash, Snapshot};

/// Blocks and receipts read from the store that are kept for the next reader.
const CACHED_READS: u32 = 128;

/// What was read from the store lately.
pub(crate) struct Cache {
    blocks: Mutex<LruMap<B256, Arc<RecoveredBlock>>>,
    receipts: Mutex<LruMap<B256, Arc<Vec<Receipt>>>>,
}

impl Default for Cache {
    fn default() -> Self {
        let length = ByLength::new(CACHED_READS);
        Self { blocks: Mutex::new(LruMap::new(length)), receipts: Mutex::new(LruMap::new(length)) }
    }
}

/// A block that is in memory, or its number in a snapshot.
enum Found {
    Memory(Node),
    Stored(Snapshot, u64),
}

impl Chain {
    /// The head.
    pub fn head(&self) -> SealedHeader {
        self.core().blocks.read().head.clone()
    }

    /// The safe block, if one was ever set.
    pub fn safe(&self) -> Option<SealedHeader> {
        self.core().blocks.read().safe.clone()
    }

    /// The finalized block, if one was ever set.
    pub fn finalized(&self) -> Option<SealedHeader> {
        self.core().blocks.read().finalized.clone()
    }

    /// The last block that is written.
    pub fn persisted(&self) -> BlockNumHash {
        self.core().blocks.read().persisted
    }

    /// The settings the chain was opened with.
    pub fn config(&self) -> &ChainConfig {
        &self.core().config
    }

    /// The hash of the canonical block of this number.
    pub fn canonical_hash(&self, number: u64) -> Result<Option<B256>, TreeError> {
        let blocks = self.core().blocks.read();
        Ok(blocks.canonical_hash(&self.core().store.snapshot(), number)?)
    }

    /// The header of the canonical block of this number.
    pub fn header_by_number(&self, number: u64) -> Result<Option<SealedHeader>, TreeError> {
        match self.find_number(number) {
            Some(Found::Memory(node)) => Ok(Some(node.header().clone())),
            Some(Found::Stored(snapshot, number)) => Ok(snapshot.header(number)?),
            None => Ok(None),
        }
    }

    /// The header of any known block.
    pub fn header_by_hash(&self, hash: B256) -> Result<Option<SealedHeader>, TreeError> {
        self.core().header(hash)
    }

    /// The canonical block of this number.
    pub fn block_by_number(&self, number: u64) -> Result<Option<Arc<RecoveredBlock>>, TreeError> {
        match self.find_number(number) {
            Some(found) => self.core().block(found),
            None => Ok(None),
        }
    }

    /// Any known block.
    pub fn block_by_hash(&self, hash: B256) -> Result<Option<Arc<RecoveredBlock>>, TreeError> {
        match self.core().find(hash)? {
            Some(found) => self.core().block(found),
            None => Ok(None),
        }
    }

    /// The receipts of the canonical block of this number.
    pub fn receipts_by_number(&self, number: u64) -> Result<Option<Arc<Vec<Receipt>>>, TreeError> {
        match self.find_number(number) {
            Some(found) => self.core().receipts(found),
            None => Ok(None),
        }
    }

    /// The receipts of any known block.
    pub fn receipts_by_hash(&self, hash: B256) -> Result<Option<Arc<Vec<Receipt>>>, TreeError> {
        match self.core().find(hash)? {
            Some(found) => self.core().receipts(found),
            None => Ok(None),
        }
    }

    /// The canonical block a transaction is in, and its place there.
    pub fn transaction(&self, hash: B256) -> Result<Option<(B256, usize)>, TreeError> {
        let blocks = self.core().blocks.read();
        if let Some(found) = blocks.transaction(hash) {
            return Ok(Some(found));
        }
        let snapshot = self.core().store.snapshot();
        let Some(location) = snapshot.transaction(hash)? else { return Ok(None) };
        // The store may not have gone back yet from a branch that the fork choice has left.
        match blocks.place(location.number) {
            Place::Store => Ok(snapshot.hash(location.number)?.map(|hash| (hash, location.index as usize))),
            Place::Memory(_) | Place::Nowhere => Ok(None),
        }
    }

    /// Code by its hash, wherever it came from.
    pub fn code(&self, hash: B256) -> Result<Option<Bytes>, TreeError> {
        Ok(self.state_at(self.head().hash())?.code(hash)?)
    }

    /// Canonical blocks of `from..=to` whose logs may match, in order: every one that does is among them.
    pub fn blocks_with_logs(&self, query: &LogQuery, from: u64, to: u64) -> Result<Vec<u64>, TreeError> {
        // The index is read without the lock: a fork choice does not wait for a search.
        let (snapshot, head, memory) = {
            let blocks = self.core().blocks.read();
            let memory: BTreeSet<u64> = blocks.in_memory().collect();
            (self.core().store.snapshot(), blocks.head.number, memory)
        };
        let to = to.min(head);
        let Some(mut found) = snapshot.blocks_with_logs(query, from, to)? else {
            return Ok((from..=to).collect());
        };
        found.retain(|number| !memory.contains(number));
        found.extend(memory.into_iter().filter(|number| (from..=to).contains(number)));
        found.sort_unstable();
        Ok(found)
    }

    /// The state after any known block.
    pub fn state_at(&self, hash: B256) -> Result<StateRef, TreeError> {
        self.core().state_at(hash)
    }

    /// The state after a block that is not in the tree; its parent is.
    pub fn state_after(&self, block: &ExecutedBlock) -> Result<StateRef, TreeError> {
        let core = self.core();
        let at = BlockNumHash::new(block.block.number(), block.block.hash());
        core.state_on(vec![Arc::new(node::layer_of(block))], vec![at], block.block.parent_hash())
    }

    fn find_number(&self, number: u64) -> Option<Found> {
        let blocks = self.core().blocks.read();
        match blocks.place(number) {
            Place::Memory(node) => Some(Found::Memory(node)),
            Place::Store => Some(Found::Stored(self.core().store.snapshot(), number)),
            Place::Nowhere => None,
        }
    }
}

impl Core {
    fn find(&self, hash: B256) -> Result<Option<Found>, TreeError> {
        let blocks = self.blocks.read();
        if let Some(node) = blocks.node(hash) {
            return Ok(Some(Found::Memory(node.clone())));
        }
        let snapshot = self.store.snapshot();
        Ok(snapshot.number(hash)?.map(|number| Found::Stored(snapshot, number)))
    }

    pub(crate) fn header(&self, hash: B256) -> Result<Option<SealedHeader>, TreeError> {
        match self.find(hash)? {
            Some(Found::Memory(node)) => Ok(Some(node.header().clone())),
            Some(Found::Stored(snapshot, number)) => Ok(snapshot.header(number)?),
            None => Ok(None),
        }
    }

    fn block(&self, found: Found) -> Result<Option<Arc<RecoveredBlock>>, TreeError> {
        let (snapshot, number) = match found {
            Found::Memory(node) => return Ok(Some(node.block())),
            Found::Stored(snapshot, number) => (snapshot, number),
        };
        let Some(hash) = snapshot.hash(number)? else { return Ok(None) };
        if let Some(block) = self.cache.blocks.lock().get(&hash) {
            return Ok(Some(block.clone()));
        }
        let Some(block) = snapshot.block(number)?.map(Arc::new) else { return Ok(None) };
        self.cache.blocks.lock().insert(hash, block.clone());
        Ok(Some(block))
    }

    fn receipts(&self, found: Found) -> Result<Option<Arc<Vec<Receipt>>>, TreeError> {
        let (snapshot, number) = match found {
            Found::Memory(node) => return Ok(Some(node.receipts())),
            Found::Stored(snapshot, number) => (snapshot, number),
        };
        let Some(hash) = snapshot.hash(number)? else { return Ok(None) };
        if let Some(receipts) = self.cache.receipts.lock().get(&hash) {
            return Ok(Some(receipts.clone()));
        }
        let Some(receipts) = snapshot.receipts(number)?.map(Arc::new) else { return Ok(None) };
        self.cache.receipts.lock().insert(hash, receipts.clone());
        Ok(Some(receipts))
    }

    /// Layers from the block down to the first one that the store has, present or past.
    pub(crate) fn state_at(&self, hash: B256) -> Result<StateRef, TreeError> {
        self.state_on(Vec::new(), Vec::new(), hash)
    }

    /// Layers of blocks above a block, then those from it downwards.
    fn state_on(
        &self,
        mut layers: Vec<Arc<Layer>>,
        mut recent: Vec<BlockNumHash>,
        hash: B256,
    ) -> Result<StateRef, TreeError> {
        let blocks = self.blocks.read();
        let snapshot = self.store.snapshot();
        let mut at = hash;
        let base = loop {
            if let Some(number) = snapshot.number(at)? {
                break number;
            }
            let node = blocks.node(at).ok_or(TreeError::UnknownBlock(hash))?;
            layers.push(node.layer().clone());
            recent.push(BlockNumHash::new(node.number(), at));
            at = node.header().parent_hash;
        };
        drop(blocks);
        Ok(Arc::new(StateView::new(snapshot, base, layers, recent, self.past.clone())?))
    }
}
