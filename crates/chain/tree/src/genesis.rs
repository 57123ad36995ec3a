//! Block 0.

use crate::TreeError;
use tributary_spec::{BlockBody, ChainSpec, RecoveredBlock};
use tributary_state::{Layer, MemoryState, StateProvider, resolve};
use tributary_store::{BlockNumHash, Store};

/// Writes genesis into an empty store.
pub(crate) fn write(store: &Store, spec: &ChainSpec) -> Result<(), TreeError> {
    let header = spec.genesis_header();
    let changes = MemoryState::alloc_changes(&spec.genesis().alloc);
    let (root, trie) = MemoryState::default().state_root(&changes)?;
    if root != header.state_root {
        return Err(TreeError::GenesisRoot { computed: root, claimed: header.state_root });
    }
    let resolved = resolve(&store.snapshot(), &Layer::new(&changes, &trie))?;
    let withdrawals = header.withdrawals_root.map(|_| Default::default());
    let body = BlockBody { transactions: Vec::new(), ommers: Vec::new(), withdrawals };
    let block = RecoveredBlock::new_unchecked(header.clone(), body, Vec::new());
    let mut batch = store.batch();
    batch.put_block(&block, &[])?;
    batch.apply(&resolved.forward)?;
    for (hash, code) in &changes.codes {
        batch.put_code(*hash, code)?;
    }
    batch.set_head(BlockNumHash::new(header.number, header.hash()))?;
    batch.commit(true)?;
    tracing::info!(hash = %header.hash(), accounts = changes.accounts.len(), "Genesis written");
    Ok(())
}
