//! Payload jobs by id, as the Engine API wants them.

use std::{fmt, sync::Arc, time::Duration};

use alloy_primitives::B256;
use alloy_rpc_types_engine::PayloadId;
use parking_lot::Mutex;
use schnellru::{ByLength, LruMap};
use tributary_evm::{BuildAttributes, Built, DaCaps, Executor, TransactionSource};
use tributary_pool::Pool;
use tributary_spec::SealedHeader;
use tributary_tree::Chain;

use crate::{
    Payload, PayloadError,
    job::{Job, Recipe},
};

/// How jobs work.
#[derive(Debug, Clone, Copy)]
pub struct PayloadConfig {
    /// Pause between two fills from the pool.
    pub interval: Duration,
    /// A job stops improving after this time.
    pub deadline: Duration,
    /// How long `resolve` waits for the first fill, and then once more until it is sealed with what it has.
    pub patience: Duration,
    /// Encoded size of a block, bytes, beyond which nothing of the pool is taken.
    pub max_bytes: Option<u64>,
    /// Jobs kept; the oldest ends when one more begins.
    pub max_jobs: u32,
}

impl Default for PayloadConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(250),
            deadline: Duration::from_secs(12),
            patience: Duration::from_millis(500),
            max_bytes: None,
            max_jobs: 16,
        }
    }
}

/// Builds payloads. Clones share the jobs.
#[derive(Clone)]
pub struct PayloadBuilder(Arc<Shared>);

struct Shared {
    executor: Executor,
    chain: Chain,
    pool: Pool,
    config: PayloadConfig,
    jobs: Mutex<LruMap<PayloadId, Arc<Job>, ByLength>>,
    da_caps: Mutex<DaCaps>,
}

impl PayloadBuilder {
    /// Over the tree and the pool.
    pub fn new(executor: Executor, chain: Chain, pool: Pool, config: PayloadConfig) -> Self {
        let jobs = Mutex::new(LruMap::new(ByLength::new(config.max_jobs.max(1))));
        Self(Arc::new(Shared { executor, chain, pool, config, jobs, da_caps: Mutex::default() }))
    }

    /// Executes.
    pub fn executor(&self) -> &Executor {
        &self.0.executor
    }

    /// The tree it builds on.
    pub fn chain(&self) -> &Chain {
        &self.0.chain
    }

    /// The pool it takes transactions from.
    pub fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// Limits on pool transactions of payloads begun from now on (`miner_setMaxDASize`).
    pub fn set_da_caps(&self, caps: DaCaps) {
        *self.0.da_caps.lock() = caps;
    }

    /// The limits in force.
    pub fn da_caps(&self) -> DaCaps {
        *self.0.da_caps.lock()
    }

    /// Begins a job. When it returns, there is a payload to [`resolve`](Self::resolve); with `no_tx_pool` it is the final
    /// one. An id that has a job keeps it.
    pub fn start(
        &self,
        id: PayloadId,
        parent: B256,
        attributes: BuildAttributes,
    ) -> Result<(), PayloadError> {
        if self.0.jobs.lock().get(&id).is_some() {
            return Ok(());
        }
        let recipe = self.recipe(parent, attributes)?;
        let forced = recipe.build_forced()?;
        let parent_time = recipe.parent.timestamp;
        let closed = recipe.attributes.no_tx_pool
            || self.0.executor.spec().deposits_only(parent_time, recipe.attributes.timestamp);
        let job = if closed { Job::finished(forced) } else { Job::filling(forced, recipe, self.0.config) };
        let mut jobs = self.0.jobs.lock();
        if jobs.get(&id).is_some() {
            job.cancel();
        } else {
            if jobs.len() >= self.0.config.max_jobs as usize
                && let Some((_, oldest)) = jobs.pop_oldest()
            {
                oldest.cancel();
            }
            jobs.insert(id, job);
        }
        Ok(())
    }

    /// The best payload of a job, which stops improving. The payload stays: the same id gives the same block again.
    pub fn resolve(&self, id: PayloadId) -> Result<Arc<Payload>, PayloadError> {
        Ok(self.job(id)?.resolve(self.0.config.patience))
    }

    /// Time of the block that a job makes. The job goes on.
    pub fn timestamp(&self, id: PayloadId) -> Result<u64, PayloadError> {
        Ok(self.job(id)?.timestamp())
    }

    fn job(&self, id: PayloadId) -> Result<Arc<Job>, PayloadError> {
        self.0.jobs.lock().get(&id).cloned().ok_or(PayloadError::UnknownPayload(id))
    }

    /// Builds one block at once, from a source of the caller's choice.
    pub fn build_now(
        &self,
        parent: B256,
        attributes: BuildAttributes,
        source: &mut dyn TransactionSource,
    ) -> Result<Built, PayloadError> {
        let Recipe { executor, parent, attributes, state, .. } = self.recipe(parent, attributes)?;
        Ok(executor.build(&parent, attributes, state, source)?)
    }

    fn recipe(&self, parent: B256, mut attributes: BuildAttributes) -> Result<Recipe, PayloadError> {
        let shared = &self.0;
        let parent: SealedHeader =
            shared.chain.header_by_hash(parent)?.ok_or(PayloadError::UnknownParent(parent))?;
        let state = shared.chain.state_at(parent.hash())?;
        attributes.da_caps = self.da_caps();
        attributes.max_bytes = shared.config.max_bytes;
        Ok(Recipe { executor: shared.executor.clone(), pool: shared.pool.clone(), parent, attributes, state })
    }
}

impl fmt::Debug for PayloadBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayloadBuilder").field("config", &self.0.config).finish_non_exhaustive()
    }
}
