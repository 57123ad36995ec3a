//! Packs what waits, and moves each batch on until it is final.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::B256;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use tributary_batch::{AgentState, Limits, PackError, Packed, pack};
use tributary_da::{DaBackend, DaError};

use super::sender::{SendError, Sender};
use crate::{
    chain::{ChainError, Registry, RegistryView},
    metrics,
    store::{Answer, BatchEntry, BatchState, Store, StoreError},
};

/// How long the poster sleeps when nothing happens.
const TICK: Duration = Duration::from_millis(500);
/// A batch that has grown this large need not wait any longer.
const FULL: usize = 100 * 1024;

/// How the poster goes about it.
#[derive(Clone, Debug)]
pub struct PosterConfig {
    /// What DA is called in answers: its URL.
    pub da_name: String,
    /// Longest time an answer waits for its batch.
    pub interval: Duration,
    /// How long DA may fail before the node serves the bytes itself.
    pub da_patience: Duration,
    /// The agent; the one whose operator the key is without it.
    pub agent: Option<u64>,
}

/// Why a round ended early. The next one goes on from what is stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// The chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Packing.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A transaction.
    #[error(transparent)]
    Send(#[from] SendError),
    /// DA.
    #[error(transparent)]
    Da(#[from] DaError),
    /// The chain has batches of this agent that the store lacks.
    #[error(
        "agent {agent} has {on_chain} batches on chain, the store knows {here}: it was restored from an old copy, or another node posts with this key"
    )]
    Behind {
        /// The agent.
        agent: u64,
        /// Batches on chain.
        on_chain: u64,
        /// Batches here.
        here: u64,
    },
    /// A task was cancelled: the process is stopping.
    #[error("stopping")]
    Stopping,
}

/// Whether answers can be posted at all, for those who sell them.
#[derive(Clone, Debug, Default)]
pub struct Posting(Arc<Mutex<Option<String>>>);

impl Posting {
    /// Why nothing can be posted until someone mends it.
    pub fn stopped(&self) -> Option<String> {
        self.0.lock().clone()
    }

    fn note(&self, outcome: &Result<(), PostError>) {
        *self.0.lock() = match outcome {
            Err(error @ PostError::Behind { .. }) => Some(error.to_string()),
            _ => None,
        };
    }
}

/// The poster.
#[derive(Debug)]
pub struct Poster {
    pub(super) registry: Registry,
    pub(super) view: RegistryView,
    pub(super) store: Store,
    pub(super) da: Arc<dyn DaBackend>,
    pub(super) sender: Sender,
    pub(super) config: PosterConfig,
    pub(super) wake: Arc<Notify>,
    pub(super) posting: Posting,
    pub(super) memory: Mutex<Memory>,
}

/// What need not survive a restart.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Since when DA fails.
    pub(super) da_failing: Option<Instant>,
    /// When `finalize` was last sent, and for which batch.
    pub(super) finalizing: Option<(u64, Instant)>,
    /// When `commitBatch` was last sent.
    pub(super) committing: Option<Instant>,
    /// When `publish` was last sent, for which batch, from which record on.
    pub(super) publishing: Option<(B256, u32, Instant)>,
    /// When `refund` was last sent, and for which batch.
    pub(super) refunding: Option<(B256, Instant)>,
}

impl Poster {
    /// A poster; `wake` tells it that an answer was stored.
    pub fn new(
        registry: Registry,
        store: Store,
        da: Arc<dyn DaBackend>,
        sender: Sender,
        config: PosterConfig,
        wake: Arc<Notify>,
        posting: Posting,
    ) -> Self {
        let view = RegistryView::new(registry.clone(), Some(store.clone()));
        Self { registry, view, store, da, sender, config, wake, posting, memory: Mutex::default() }
    }

    /// Runs until stopped; errors end a round and are for the supervisor to log.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> Result<(), PostError> {
        let mut heads = self.registry.chain().heads();
        loop {
            let round = self.round().await;
            self.posting.note(&round);
            round?;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = heads.changed() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// One look at everything.
    pub async fn round(self: &Arc<Self>) -> Result<(), PostError> {
        // Batches of an agent that was replaced still want to be finalized.
        let open = self.store.open_batches()?;
        metrics::waiting(self.store.pending()?.len(), open.len());
        for entry in open {
            self.advance(entry).await?;
        }
        let pending = self.store.pending()?;
        for agent in self.agents(&pending)? {
            self.post(agent, &pending).await?;
        }
        Ok(())
    }

    /// Packs an agent's answers when they are due and nothing of it is on its way.
    async fn post(self: &Arc<Self>, agent: u64, pending: &[Answer]) -> Result<(), PostError> {
        let last = self.store.last_batch(agent)?;
        if last.as_ref().is_some_and(|last| last.state < BatchState::Committed) {
            return Ok(());
        }
        self.check_not_behind(agent, last.as_ref())?;
        let mine: Vec<Answer> =
            pending.iter().filter(|answer| answer.record.agent_id == agent).cloned().collect();
        if self.due(&mine) {
            let poster = Arc::clone(self);
            let packed = tokio::task::spawn_blocking(move || poster.pack(agent, mine));
            if let Some(entry) = packed.await.map_err(|_| PostError::Stopping)?? {
                self.advance(entry).await?;
            }
        }
        Ok(())
    }

    /// The agent that serves, and those that served before and still have answers here: all that this key may post for.
    fn agents(&self, pending: &[Answer]) -> Result<Vec<u64>, ChainError> {
        let serving = match self.config.agent {
            Some(id) => Some(id),
            None => self.registry.agent_of_operator(self.sender.address())?.map(|agent| agent.id),
        };
        let mut agents: Vec<u64> =
            pending.iter().map(|answer| answer.record.agent_id).chain(serving).collect();
        agents.sort_unstable();
        agents.dedup();
        let head = self.registry.chain().head().number;
        let mut mine = Vec::new();
        for id in agents {
            let posts = self.registry.agent(id)?.is_some_and(|agent| {
                agent.operator == self.sender.address()
                    && (agent.retiredFrom == 0 || agent.retiredFrom > head)
            });
            if posts {
                mine.push(id);
            }
        }
        Ok(mine)
    }

    fn check_not_behind(&self, agent: u64, last: Option<&BatchEntry>) -> Result<(), PostError> {
        let on_chain = self.registry.batches_of(agent)?.lastSeq;
        let here = last.map_or(0, |last| last.header.seq);
        if on_chain > here { Err(PostError::Behind { agent, on_chain, here }) } else { Ok(()) }
    }

    fn due(&self, answers: &[Answer]) -> bool {
        let Some(first) = answers.first() else { return false };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let waited = since.saturating_sub(Duration::from_millis(first.answered_at));
        let bytes: usize = answers.iter().map(|answer| approximate_bytes(&answer.record)).sum();
        waited >= self.config.interval || bytes >= FULL
    }

    /// Fixes the next batch: checked as a validator would, then moved out of the queue in one write.
    fn pack(&self, agent: u64, answers: Vec<Answer>) -> Result<Option<BatchEntry>, PostError> {
        let before = match self.store.last_batch(agent)? {
            None => AgentState::new(agent),
            Some(last) => {
                let seq = last.header.seq;
                let state = self.store.state(agent, seq)?;
                state.ok_or(PostError::Behind { agent, on_chain: seq, here: seq.saturating_sub(1) })?
            }
        };
        let commit_block = self.registry.chain().head().number + 1;
        let records = answers.iter().map(|answer| answer.record.clone()).collect();
        let outcome = pack(&self.view, &before, records, commit_block, &Limits::default())?;
        let refused: Vec<(Answer, String)> = outcome
            .refused
            .iter()
            .filter_map(|refused| {
                let answer = answers.iter().find(|answer| answer.record.key() == refused.record.key())?;
                Some((answer.clone(), refused.fault.to_string()))
            })
            .collect();
        for (answer, reason) in &refused {
            let request = answer.record.request_id;
            error!(target: "tributary::poster", %request, reason, "an answer can stand in no batch and was put aside");
        }
        self.store.refuse(&refused)?;
        let Some(packed) = outcome.packed else { return Ok(None) };
        let entry = self.entry(&packed, &answers);
        self.store.pack(&entry, &packed.bytes, &packed.state)?;
        info!(
            target: "tributary::poster",
            agent, seq = entry.header.seq, records = entry.records.len(), bytes = packed.bytes.len(), id = %entry.id,
            "Packed batch"
        );
        Ok(Some(entry))
    }

    fn entry(&self, packed: &Packed, answers: &[Answer]) -> BatchEntry {
        let model_of =
            |key| answers.iter().find(|answer| answer.record.key() == key).map(|answer| answer.model.clone());
        BatchEntry {
            id: packed.batch_id,
            header: packed.header,
            debits: packed.debits.clone(),
            signatures: packed.signatures.clone(),
            totals: packed.totals,
            records: packed.records.iter().map(|record| record.key()).collect(),
            models: packed.records.iter().map(|record| model_of(record.key()).unwrap_or_default()).collect(),
            da_commitment: Default::default(),
            da: String::new(),
            transaction: None,
            deadline: 0,
            state: BatchState::Packed,
        }
    }
}

fn approximate_bytes(record: &tributary_record::Record) -> usize {
    1024 + record.output.len() * 4 + record.spans.len() * 20 + record.shares.len() * 12
}
