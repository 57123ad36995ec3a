//! One payload in the making.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use alloy_primitives::U256;
use parking_lot::{Condvar, Mutex};
use tributary_evm::{BuildAttributes, BuildError, Built, ExecutedBlock, Executor};
use tributary_pool::Pool;
use tributary_spec::SealedHeader;
use tributary_state::StateRef;

use crate::{PayloadConfig, source::Stoppable};

/// A block that was built, ready for the tree.
#[derive(Debug, Clone)]
pub struct Payload {
    /// The block and all it did.
    pub executed: Arc<ExecutedBlock>,
    /// What its builder earns, wei.
    pub fees: U256,
}

impl From<Built> for Payload {
    fn from(built: Built) -> Self {
        Self { executed: Arc::new(built.executed), fees: built.fees }
    }
}

/// What a job builds from.
pub(crate) struct Recipe {
    pub(crate) executor: Executor,
    pub(crate) pool: Pool,
    pub(crate) parent: SealedHeader,
    pub(crate) attributes: BuildAttributes,
    pub(crate) state: StateRef,
}

impl Recipe {
    /// The block with nothing but forced transactions.
    pub(crate) fn build_forced(&self) -> Result<Built, BuildError> {
        let attributes = BuildAttributes { no_tx_pool: true, ..self.attributes.clone() };
        self.executor.build(&self.parent, attributes, StateRef::clone(&self.state), &mut ())
    }

    /// The block with what the pool has now, sealed early when `stop` is set.
    fn build_filled(&self, stop: &AtomicBool) -> Result<Built, BuildError> {
        let base_fee = self.executor.spec().next_base_fee(&self.parent, self.attributes.timestamp);
        // The forced block was built with this base fee, so it exists.
        let inner = self.pool.best(self.parent.hash(), base_fee.unwrap_or_default());
        let inner = inner.for_block(self.parent.number + 1, self.attributes.timestamp);
        let mut source = Stoppable { inner, stop };
        self.executor.build(&self.parent, self.attributes.clone(), StateRef::clone(&self.state), &mut source)
    }
}

/// A job: the best block so far, and a thread that makes better ones.
#[derive(Debug)]
pub(crate) struct Job {
    progress: Mutex<Progress>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Debug)]
struct Progress {
    best: Arc<Payload>,
    /// A block filled from the pool is on its way and none is there yet.
    first_fill_pending: bool,
}

impl Job {
    /// A job that is done as soon as it begins.
    pub(crate) fn finished(built: Built) -> Arc<Self> {
        Arc::new(Self::new(built, false))
    }

    /// A job that goes on filling from the pool until it is resolved or its deadline comes.
    pub(crate) fn filling(forced: Built, recipe: Recipe, config: PayloadConfig) -> Arc<Self> {
        let job = Arc::new(Self::new(forced, true));
        let worker = Arc::clone(&job);
        let spawned =
            std::thread::Builder::new().name("payload".into()).spawn(move || worker.fill(&recipe, config));
        if let Err(error) = spawned {
            tracing::error!(target: "payload", %error, "No thread to fill the payload; it keeps its forced transactions");
            job.progress.lock().first_fill_pending = false;
        }
        job
    }

    fn new(built: Built, first_fill_pending: bool) -> Self {
        Self {
            progress: Mutex::new(Progress { best: Arc::new(built.into()), first_fill_pending }),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
        }
    }

    /// The best block so far. Ends the job. The first fill gets some time to be complete, then as much again to be sealed
    /// with what it has.
    pub(crate) fn resolve(&self, patience: Duration) -> Arc<Payload> {
        let mut progress = self.progress.lock();
        self.changed.wait_while_for(&mut progress, |progress| progress.first_fill_pending, patience);
        self.stop.store(true, Ordering::Relaxed);
        self.changed.notify_all();
        self.changed.wait_while_for(&mut progress, |progress| progress.first_fill_pending, patience);
        Arc::clone(&progress.best)
    }

    /// Time of the block.
    pub(crate) fn timestamp(&self) -> u64 {
        self.progress.lock().best.executed.block.header().timestamp
    }

    /// Ends the job without an answer.
    pub(crate) fn cancel(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    fn fill(&self, recipe: &Recipe, config: PayloadConfig) {
        let deadline = Instant::now() + config.deadline;
        let mut filled_from = None;
        while Instant::now() < deadline {
            let content = Some(recipe.pool.changes());
            if content != filled_from {
                self.fill_once(recipe);
                filled_from = content;
            }
            let mut progress = self.progress.lock();
            self.changed.notify_all();
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            self.changed.wait_for(&mut progress, config.interval);
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    fn fill_once(&self, recipe: &Recipe) {
        match recipe.build_filled(&self.stop) {
            Ok(built) => self.offer(built),
            Err(error) => {
                tracing::warn!(target: "payload", %error, "Payload not filled from the pool");
                self.progress.lock().first_fill_pending = false;
            }
        }
    }

    /// Keeps the dearer block. The first fill replaces the forced block also when it earns nothing.
    fn offer(&self, built: Built) {
        let mut progress = self.progress.lock();
        let longer =
            built.executed.block.transactions().len() > progress.best.executed.block.transactions().len();
        if built.fees > progress.best.fees || (built.fees == progress.best.fees && longer) {
            progress.best = Arc::new(built.into());
        }
        progress.first_fill_pending = false;
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.cancel();
    }
}
