//! A chain of states in a store, each next to the same state rebuilt in full.

use alloy_consensus::{Header, Sealable};
use alloy_primitives::B256;
use std::sync::Arc;
use tempfile::TempDir;
use tributary_spec::{BlockBody, RecoveredBlock};
use tributary_state::{
    HashedPostState, Layer, MemoryState, PastLayers, StateProvider, StateView, resolve, verify_state,
};
use tributary_store::{BlockNumHash, Identity, Store, StoreOptions};

pub(crate) struct Model {
    store: Store,
    past: Arc<PastLayers>,
    /// The state after each block, genesis first.
    pub(crate) states: Vec<MemoryState>,
    blocks: Vec<RecoveredBlock>,
    layers: Vec<Arc<Layer>>,
    pub(crate) persisted: usize,
    _dir: TempDir,
}

impl Model {
    pub(crate) fn new(genesis: &HashedPostState) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity { chain_id: 1, genesis_hash: B256::ZERO };
        let options = StoreOptions {
            cache_bytes: 8 << 20,
            write_buffer_bytes: 8 << 20,
            max_open_files: 64,
            ..Default::default()
        };
        let store = Store::open(dir.path(), &identity, &options).unwrap();
        let mut model = Self {
            store,
            past: Arc::default(),
            states: Vec::new(),
            blocks: Vec::new(),
            layers: Vec::new(),
            persisted: 0,
            _dir: dir,
        };
        let (root, trie) = MemoryState::default().state_root(genesis).unwrap();
        let mut state = MemoryState::default();
        state.apply(genesis);
        assert_eq!(root, state.root());
        model.push(state, Layer::new(genesis, &trie), root);
        model.write(0);
        model
    }

    fn push(&mut self, state: MemoryState, layer: Layer, root: B256) {
        let header = Header {
            number: self.blocks.len() as u64,
            parent_hash: self.blocks.last().map_or(B256::ZERO, RecoveredBlock::hash),
            state_root: root,
            ..Default::default()
        };
        self.blocks.push(RecoveredBlock::new_unchecked(header.seal_slow(), BlockBody::default(), vec![]));
        self.states.push(state);
        self.layers.push(Arc::new(layer));
    }

    pub(crate) fn head(&self) -> usize {
        self.states.len() - 1
    }

    /// The state after block `number`: from the store as far as it goes, the rest from memory.
    pub(crate) fn view(&self, number: usize) -> StateView {
        let base = number.min(self.persisted);
        let layers = self.layers[base + 1..=number].iter().rev().cloned().collect();
        let recent = self.blocks[base + 1..=number].iter().rev();
        let recent = recent.map(|block| BlockNumHash::new(block.number(), block.hash())).collect();
        StateView::new(self.store.snapshot(), base as u64, layers, recent, self.past.clone()).unwrap()
    }

    /// Makes a block on the head, comparing root and trie updates with the full rebuild.
    pub(crate) fn extend(&mut self, changes: &HashedPostState) {
        let (root, trie) = self.view(self.head()).state_root(changes).unwrap();
        let mut state = self.states[self.head()].clone();
        let (expected_root, expected_trie) = state.state_root(changes).unwrap();
        state.apply(changes);
        assert_eq!(root, expected_root, "root of block {}", self.states.len());
        assert_eq!(trie.leaves, expected_trie.leaves);
        assert_eq!(trie.account_nodes, expected_trie.account_nodes);
        self.push(state, Layer::new(changes, &trie), root);
    }

    /// Writes the next block.
    pub(crate) fn persist(&mut self) {
        if self.persisted < self.head() {
            self.write(self.persisted + 1);
            self.persisted += 1;
        }
    }

    fn write(&self, number: usize) {
        let resolved = resolve(&self.store.snapshot(), &self.layers[number]).unwrap();
        let mut batch = self.store.batch();
        let block = &self.blocks[number];
        batch.put_block(block, &[]).unwrap();
        batch.apply(&resolved.forward).unwrap();
        for (hash, code) in self.layers[number].codes() {
            batch.put_code(*hash, code).unwrap();
        }
        if number > 0 {
            batch.put_reverse(number as u64, &resolved.forward, &resolved.reverse).unwrap();
        }
        batch.set_head(BlockNumHash::new(block.number(), block.hash())).unwrap();
        batch.commit(false).unwrap();
    }

    /// Takes the last persisted block back, and forgets all blocks from it on.
    pub(crate) fn unwind(&mut self) {
        let number = self.persisted;
        let reverse = self.store.snapshot().last_reverse_diff(number as u64).unwrap().unwrap();
        let mut batch = self.store.batch();
        batch.apply(&reverse).unwrap();
        batch.remove_reverse(number as u64, &reverse).unwrap();
        batch.remove_block(&self.blocks[number], &[]).unwrap();
        let parent = &self.blocks[number - 1];
        batch.set_head(BlockNumHash::new(parent.number(), parent.hash())).unwrap();
        batch.commit(false).unwrap();
        self.states.truncate(number);
        self.blocks.truncate(number);
        self.layers.truncate(number);
        self.persisted -= 1;
    }

    pub(crate) fn prune(&self, oldest: u64) {
        let mut batch = self.store.batch();
        batch.prune_diffs(1, oldest).unwrap();
        batch.commit(false).unwrap();
    }

    /// Everything stored is what a rebuild from the persisted head's leaves gives.
    pub(crate) fn verify(&self) {
        let state = &self.states[self.persisted];
        let report = verify_state(&self.store, |_| ()).unwrap();
        assert_eq!(report.root, state.root());
        assert_eq!(report.accounts as usize, state.accounts().len());
        assert_eq!(report.slots as usize, state.storages().values().map(|slots| slots.len()).sum::<usize>());
    }

    /// Reads of the state after `number` equal the rebuilt one's, for every key that ever was.
    pub(crate) fn check_reads(&self, number: usize) {
        let (view, state) = (self.view(number), &self.states[number]);
        for known in &self.states {
            for hashed in known.accounts().keys() {
                let leaf = view.leaf(*hashed).unwrap();
                assert_eq!(
                    leaf.map(Into::into),
                    state.accounts().get(hashed).copied(),
                    "{hashed} at {number}"
                );
            }
            for (hashed, slots) in known.storages() {
                for slot in slots.keys() {
                    let expected = state.storages().get(hashed).and_then(|slots| slots.get(slot)).copied();
                    assert_eq!(view.slot(*hashed, *slot).unwrap(), expected.unwrap_or_default());
                }
            }
        }
    }

    /// The root of the state after `number`, from stored nodes.
    pub(crate) fn check_root(&self, number: usize) {
        let (root, trie) = self.view(number).state_root(&HashedPostState::default()).unwrap();
        assert_eq!(root, self.states[number].root(), "root after {number}");
        assert!(trie.account_nodes.is_empty() && trie.storages.is_empty(), "nothing changed after {number}");
    }
}
