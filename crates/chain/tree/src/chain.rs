//! The [`Chain`] handle.

use crate::{
    CanonEvent, ChainConfig, TreeError, activations, blocks::Blocks, genesis, invalid::InvalidBlocks,
    reads::Cache, writer::Writer,
};
use parking_lot::{Mutex, RwLock};
use std::{path::Path, sync::Arc};
use tokio::sync::broadcast;
use tributary_evm::Executor;
use tributary_spec::{ChainSpec, SealedHeader};
use tributary_state::PastLayers;
use tributary_store::{BlockNumHash, Identity, Label, Snapshot, Store, StoreError};

/// The chain. Clones share it; when the last one goes, what is in memory is written.
#[derive(Clone)]
pub struct Chain(Arc<Handle>);

struct Handle {
    core: Arc<Core>,
    writer: Writer,
}

/// What the handle and the writer's thread share.
pub(crate) struct Core {
    pub(crate) executor: Executor,
    pub(crate) store: Store,
    pub(crate) config: ChainConfig,
    pub(crate) blocks: RwLock<Blocks>,
    pub(crate) invalid: Mutex<InvalidBlocks>,
    pub(crate) events: broadcast::Sender<CanonEvent>,
    pub(crate) past: Arc<PastLayers>,
    pub(crate) cache: Cache,
    /// Held while the fork choice changes, so that events come in its order. Which blocks are in the log.
    pub(crate) choosing: Mutex<Vec<BlockNumHash>>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("head", &self.head().number).finish_non_exhaustive()
    }
}

impl Chain {
    /// Opens the chain of the executor's spec in a folder, from genesis or from where it stopped.
    pub fn open(executor: Executor, path: &Path, config: ChainConfig) -> Result<Self, TreeError> {
        let spec = executor.spec().clone();
        let identity = Identity { chain_id: spec.chain_id(), genesis_hash: spec.genesis_hash() };
        let store = Store::open(path, &identity, &config.store)?;
        if store.snapshot().head()?.is_none() {
            genesis::write(&store, &spec)?;
        }
        let blocks = stored_blocks(&store.snapshot())?;
        activations::check(&store, &spec, &blocks.head)?;
        crate::metrics::opened(&blocks);
        tracing::info!(number = blocks.head.number, hash = %blocks.head.hash(), "Chain opened");
        let core = Arc::new(Core {
            executor,
            store,
            blocks: RwLock::new(blocks),
            invalid: Mutex::default(),
            events: broadcast::channel(config.event_buffer.max(1)).0,
            past: Arc::default(),
            cache: Cache::default(),
            choosing: Mutex::default(),
            config,
        });
        let writer = Writer::start(core.clone())?;
        let chain = Self(Arc::new(Handle { core, writer }));
        chain.replay()?;
        Ok(chain)
    }

    pub(crate) fn core(&self) -> &Core {
        &self.0.core
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.0.writer
    }

    /// The executor that imports use.
    pub fn executor(&self) -> &Executor {
        &self.core().executor
    }

    /// The chain's parameters.
    pub fn spec(&self) -> &Arc<ChainSpec> {
        self.core().executor.spec()
    }

    /// The database, for statistics and checks.
    pub fn store(&self) -> &Store {
        &self.core().store
    }

    /// Events of the canonical chain from now on. A receiver that falls too far behind is told how many it missed.
    pub fn subscribe(&self) -> broadcast::Receiver<CanonEvent> {
        self.core().events.subscribe()
    }

    /// Waits until the head and the labels are written, whatever lag is configured.
    pub fn flush(&self) -> Result<(), TreeError> {
        self.writer().flush()
    }

    /// Resolves when the chain can no longer be written: with the failure, or that it was shut down. Reads still work.
    pub async fn ended(&self) -> TreeError {
        self.writer().ended().await
    }

    /// Writes what is in memory, forces it to the disk, and stops the writer. The chain can be read afterwards, and
    /// no longer moved.
    pub fn shutdown(&self) -> Result<(), TreeError> {
        let flushed = self.flush();
        self.writer().stop();
        flushed?;
        Ok(self.core().store.sync()?)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.writer.stop();
    }
}

fn stored_blocks(snapshot: &Snapshot) -> Result<Blocks, TreeError> {
    let head = snapshot.head()?.ok_or_else(|| corrupt("there is no head"))?;
    let head = labelled(snapshot, head)?;
    let safe = snapshot.label(Label::Safe)?.map(|block| labelled(snapshot, block)).transpose()?;
    let finalized = snapshot.label(Label::Finalized)?.map(|block| labelled(snapshot, block)).transpose()?;
    Ok(Blocks::new(head, safe, finalized))
}

fn labelled(snapshot: &Snapshot, block: BlockNumHash) -> Result<SealedHeader, TreeError> {
    let header = snapshot.header(block.number)?.filter(|header| header.hash() == block.hash);
    header.ok_or_else(|| corrupt(&format!("block {} of a label is missing", block.number)))
}

pub(crate) fn corrupt(what: &str) -> TreeError {
    StoreError::Corrupt(what.to_owned()).into()
}
