//! The thread that brings the store behind the head.
//!
//! It takes one step at a time: undo the store's last block if it is not canonical, else write the next canonical
//! one, else write labels that moved. Each step is one batch. None is forced to the disk: what is acknowledged is in the log, which
//! is, and a step that gets lost is taken again.

use crate::{
    TreeError,
    blocks::{Blocks, Place},
    chain::{Core, corrupt},
    metrics,
    node::{self, Node},
};
use alloy_eips::BlockNumHash;
use parking_lot::{Condvar, Mutex, RwLockUpgradableReadGuard};
use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::Instant,
};
use tokio::sync::watch;
use tributary_spec::SealedHeader;
use tributary_state::{Layer, resolve};
use tributary_store::{Batch, Label, Snapshot, StoreError};

/// Old diffs are dropped this many at a time.
pub(crate) const PRUNE_STEP: u64 = 64;

/// The writer's thread, and the signals to and from it.
pub(crate) struct Writer {
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Signal {
    state: Mutex<State>,
    /// There may be work.
    work: Condvar,
    /// A step was taken, or the thread has ended.
    done: Condvar,
    /// The thread has ended.
    farewell: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// Passes asked for, and the last one of them that was answered in full.
    asked: u64,
    answered: u64,
    stop: bool,
    /// How many wait for everything to be written, whatever the lag.
    flushing: usize,
    ended: bool,
    failed: Option<TreeError>,
}

impl Writer {
    pub(crate) fn start(core: Arc<Core>) -> Result<Self, TreeError> {
        let signal = Arc::<Signal>::default();
        let theirs = signal.clone();
        let thread = thread::Builder::new()
            .name("chain-writer".into())
            .spawn(move || run(&core, &theirs))
            .map_err(|error| StoreError::Io(format!("the writer's thread did not start: {error}")))?;
        Ok(Self { signal, thread: Mutex::new(Some(thread)) })
    }

    /// The failure that ended the thread, or that it was stopped.
    pub(crate) fn check(&self) -> Result<(), TreeError> {
        self.signal.state.lock().check()
    }

    /// A write elsewhere has failed: nothing is written any more.
    pub(crate) fn fail(&self, error: &TreeError) {
        let mut state = self.signal.state.lock();
        state.failed.get_or_insert_with(|| error.clone());
        state.stop = true;
        self.signal.work.notify_one();
    }

    pub(crate) fn wake(&self) {
        self.signal.state.lock().asked += 1;
        self.signal.work.notify_one();
    }

    /// Resolves when nothing will be written any more: with the failure, or that the writer was stopped.
    pub(crate) async fn ended(&self) -> TreeError {
        let mut ended = self.signal.farewell.subscribe();
        // The sender lives as long as this.
        let _ = ended.wait_for(|ended| *ended).await;
        self.signal.state.lock().check().err().unwrap_or(TreeError::Stopped)
    }

    /// Waits until no more than the configured number of blocks is unwritten.
    pub(crate) fn wait_for_room(&self, core: &Core) -> Result<(), TreeError> {
        let most = core.config.max_unwritten.max(core.config.lag);
        let mut state = self.signal.state.lock();
        while core.blocks.read().unwritten() > most {
            state.check()?;
            self.signal.done.wait(&mut state);
        }
        state.check()
    }

    /// Waits until everything there is now is written.
    pub(crate) fn flush(&self) -> Result<(), TreeError> {
        let mut state = self.signal.state.lock();
        state.asked += 1;
        state.flushing += 1;
        let mine = state.asked;
        self.signal.work.notify_one();
        let mut outcome = state.check();
        while outcome.is_ok() && state.answered < mine {
            self.signal.done.wait(&mut state);
            outcome = if state.answered < mine { state.check() } else { Ok(()) };
        }
        state.flushing -= 1;
        outcome
    }

    /// Lets the thread write what there is, and waits for its end.
    pub(crate) fn stop(&self) {
        {
            let mut state = self.signal.state.lock();
            state.stop = true;
            self.signal.work.notify_one();
        }
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("The writer's thread panicked");
        }
    }
}

impl State {
    fn check(&self) -> Result<(), TreeError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None if self.ended || self.stop => Err(TreeError::Stopped),
            None => Ok(()),
        }
    }
}

/// Tells everyone who waits that the thread is gone, also when it panics.
struct Farewell<'a>(&'a Signal);

impl Drop for Farewell<'_> {
    fn drop(&mut self) {
        self.0.state.lock().ended = true;
        self.0.done.notify_all();
        self.0.farewell.send_replace(true);
    }
}

fn run(core: &Core, signal: &Signal) {
    let _farewell = Farewell(signal);
    loop {
        let (asked, stop, lag) = {
            let mut state = signal.state.lock();
            while state.asked == state.answered && !state.stop {
                signal.work.wait(&mut state);
            }
            let lag = if state.flushing > 0 || state.stop { 0 } else { core.config.lag };
            (state.asked, state.stop, lag)
        };
        let outcome = pass(core, signal, lag);
        let mut state = signal.state.lock();
        if let Err(error) = outcome {
            tracing::error!(%error, "The chain cannot be written");
            state.failed.get_or_insert(error);
            return;
        }
        state.answered = asked;
        signal.done.notify_all();
        if stop {
            return;
        }
    }
}

/// Steps until there is none to take.
fn pass(core: &Core, signal: &Signal, lag: u64) -> Result<(), TreeError> {
    while core.step(lag)? {
        signal.done.notify_all();
    }
    Ok(())
}

/// What the store lacks.
enum Step {
    Undo(BlockNumHash),
    Write(Node),
    Label([(Label, Option<BlockNumHash>); 2]),
    Nothing,
}

/// The labels as they may be persisted with a canonical `head`: never above it, and its ancestors share its labels.
fn labels(blocks: &Blocks, head: BlockNumHash) -> [(Label, Option<BlockNumHash>); 2] {
    let at = |label: &Option<SealedHeader>| {
        label.as_ref().map(|header| {
            if header.number > head.number { head } else { BlockNumHash::new(header.number, header.hash()) }
        })
    };
    [(Label::Safe, at(&blocks.safe)), (Label::Finalized, at(&blocks.finalized))]
}

/// Labels that lie above the block the store goes back to move down to it.
fn lowered(snapshot: &Snapshot, head: BlockNumHash, batch: &mut Batch) -> Result<(), StoreError> {
    for label in [Label::Safe, Label::Finalized] {
        if snapshot.label(label)?.is_some_and(|block| block.number > head.number) {
            batch.set_label(label, Some(head))?;
        }
    }
    Ok(())
}

impl Core {
    /// One step towards the head less `lag`. False if there is none to take.
    fn step(&self, lag: u64) -> Result<bool, TreeError> {
        match self.next_step(lag)? {
            Step::Undo(block) => self.undo(block)?,
            Step::Write(node) => self.write(&node)?,
            Step::Label(labels) => {
                let mut batch = self.store.batch();
                labels.into_iter().try_for_each(|(label, block)| batch.set_label(label, block))?;
                batch.commit(false)?;
            }
            Step::Nothing => return Ok(false),
        }
        Ok(true)
    }

    fn next_step(&self, lag: u64) -> Result<Step, TreeError> {
        let blocks = self.blocks.upgradable_read();
        let snapshot = self.store.snapshot();
        let persisted = blocks.persisted;
        if !blocks.is_canonical(&snapshot, persisted)? {
            let header = snapshot.header(persisted.number)?;
            let header = header.ok_or_else(|| corrupt("the last written block has no header"))?;
            // From here on it does not count as written, so that it stays in memory if it is chosen again meanwhile.
            RwLockUpgradableReadGuard::upgrade(blocks).persisted =
                BlockNumHash::new(persisted.number.saturating_sub(1), header.parent_hash);
            return Ok(Step::Undo(persisted));
        }
        if persisted.number < blocks.head.number.saturating_sub(lag) {
            return match blocks.place(persisted.number + 1) {
                Place::Memory(node) => Ok(Step::Write(node)),
                _ => Err(corrupt("a block that is not written is not in memory")),
            };
        }
        let labels = labels(&blocks, persisted);
        for (label, block) in labels {
            if snapshot.label(label)? != block {
                return Ok(Step::Label(labels));
            }
        }
        Ok(Step::Nothing)
    }

    /// Writes the canonical child of the last written block.
    fn write(&self, node: &Node) -> Result<(), TreeError> {
        let start = Instant::now();
        let executed = node.executed();
        let block = BlockNumHash::new(node.number(), node.header().hash());
        let snapshot = self.store.snapshot();
        let resolved = resolve(&snapshot, node.layer())?;
        let mut batch = self.store.batch();
        batch.put_block(&executed.block, &executed.receipts)?;
        batch.apply(&resolved.forward)?;
        for (hash, code) in node.layer().codes() {
            batch.put_code(*hash, code)?;
        }
        batch.put_reverse(block.number, &resolved.forward, &resolved.reverse)?;
        batch.set_head(block)?;
        self.put_labels(&snapshot, block, &mut batch)?;
        self.prune_diffs(&snapshot, block.number, &mut batch)?;
        batch.commit(false)?;
        self.persisted(block);
        metrics::wrote(start.elapsed());
        Ok(())
    }

    fn put_labels(
        &self,
        snapshot: &Snapshot,
        head: BlockNumHash,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let blocks = self.blocks.read();
        // The fork choice may have left this branch since; then its labels are of another.
        if blocks.is_canonical(snapshot, head)? {
            labels(&blocks, head).into_iter().try_for_each(|(label, block)| batch.set_label(label, block))?;
        }
        Ok(())
    }

    fn prune_diffs(&self, snapshot: &Snapshot, head: u64, batch: &mut Batch) -> Result<(), StoreError> {
        let finalized = self.blocks.read().finalized.as_ref().map(|header| header.number);
        let window = (head + 1).saturating_sub(self.config.diff_window);
        let keep = finalized.map_or(window, |finalized| window.min(finalized));
        let oldest = snapshot.oldest_diff()?;
        if keep >= oldest + PRUNE_STEP { batch.prune_diffs(oldest, keep) } else { Ok(()) }
    }

    /// Takes the store's last block back. It stays in memory as a side block.
    fn undo(&self, block: BlockNumHash) -> Result<(), TreeError> {
        let snapshot = self.store.snapshot();
        let missing = |what: &str| corrupt(&format!("block {} has no {what}", block.number));
        let stored = snapshot.block(block.number)?.ok_or_else(|| missing("body"))?;
        let receipts = snapshot.receipts(block.number)?.ok_or_else(|| missing("receipts"))?;
        let reverse = snapshot.last_reverse_diff(block.number)?.ok_or_else(|| missing("reverse diff"))?;
        let layer = Layer::from_diff(reverse.clone());
        let forward = resolve(&snapshot, &layer)?.reverse;
        let parent = BlockNumHash::new(block.number - 1, stored.parent_hash());

        let mut batch = self.store.batch();
        batch.apply(&reverse)?;
        batch.remove_reverse(block.number, &reverse)?;
        batch.remove_block(&stored, &receipts)?;
        batch.set_head(parent)?;
        lowered(&snapshot, parent, &mut batch)?;
        let node = Node::with_layer(Arc::new(node::stored(stored, receipts)), Layer::from_diff(forward));
        // First into memory, so that no reader misses it.
        self.blocks.write().insert(node);
        batch.commit(false)?;
        self.persisted(parent);
        Ok(())
    }

    fn persisted(&self, head: BlockNumHash) {
        let mut blocks = self.blocks.write();
        blocks.persisted = head;
        metrics::written(&blocks);
        blocks.prune(self.config.cached, self.config.max_side);
    }
}
