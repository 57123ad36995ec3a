//! Sequencing without a rollup node.

use std::{
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy_consensus::transaction::Recovered;
use alloy_primitives::{Address, B64, Sealable};
use parking_lot::Mutex;
use tokio::sync::{broadcast::error::RecvError, oneshot};
use tokio_util::sync::CancellationToken;
use tributary_evm::{BuildAttributes, DaCaps, ExecutedBlock};
use tributary_spec::{
    OpHardfork, SealedHeader, Tx,
    predeploys::{DEPOSITOR, SEQUENCER_FEE_VAULT},
};

use crate::{DevError, DevL1, L1Attributes, PayloadBuilder, PayloadError, source::AtMost};

/// Pause after a block that could not be built.
const RETRY: Duration = Duration::from_secs(1);

/// When blocks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockTime {
    /// One every so often, transactions or not. Less than a second makes the chain's clock run ahead: its unit is the second.
    Every(Duration),
    /// One for each transaction, as it comes.
    PerTransaction,
}

impl BlockTime {
    /// As the `--dev.block-time` flag has it: zero is a block per transaction.
    pub const fn from_duration(interval: Duration) -> Self {
        if interval.is_zero() { Self::PerTransaction } else { Self::Every(interval) }
    }
}

/// Configuration of dev sequencing.
#[derive(Debug, Clone, Copy)]
pub struct DevConfig {
    /// When blocks are made.
    pub block_time: BlockTime,
    /// Gas limit; the parent's if none.
    pub gas_limit: Option<u64>,
    /// Coinbase.
    pub fee_recipient: Address,
}

impl Default for DevConfig {
    fn default() -> Self {
        Self {
            block_time: BlockTime::Every(Duration::from_secs(1)),
            gas_limit: None,
            fee_recipient: SEQUENCER_FEE_VAULT,
        }
    }
}

/// Makes the blocks of a dev chain. Clones share one lock: blocks come one after another.
#[derive(Debug, Clone)]
pub struct DevSequencer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    builder: PayloadBuilder,
    config: DevConfig,
    l1: DevL1,
    sealing: Mutex<()>,
}

impl DevSequencer {
    /// Refuses chains whose genesis does not say dev, and those on which Jovian is not active from the start.
    pub fn new(builder: PayloadBuilder, config: DevConfig) -> Result<Self, DevError> {
        let spec = builder.executor().spec();
        if !spec.economy.dev {
            return Err(DevError::NotDev(spec.chain_id()));
        }
        if !spec.forks().active(OpHardfork::Jovian, spec.genesis_header().timestamp) {
            return Err(DevError::BeforeJovian);
        }
        let l1 = DevL1::new(spec);
        Ok(Self(Arc::new(Shared { builder, config, l1, sealing: Mutex::new(()) })))
    }

    /// Makes one block on the head from all the pool has, and makes it the head.
    pub fn seal(&self) -> Result<Arc<ExecutedBlock>, DevError> {
        self.seal_with(usize::MAX)
    }

    /// Makes one block with at most `limit` transactions of the pool.
    pub fn seal_with(&self, limit: usize) -> Result<Arc<ExecutedBlock>, DevError> {
        let _one_at_a_time = self.0.sealing.lock();
        let (builder, chain) = (&self.0.builder, self.0.builder.chain());
        let parent = chain.head();
        let attributes = self.attributes(&parent, unix_now())?;
        let base_fee = builder.executor().spec().next_base_fee(&parent, attributes.timestamp);
        let best = builder.pool().best(parent.hash(), base_fee.unwrap_or_default());
        let best = best.for_block(parent.number + 1, attributes.timestamp);
        let mut source = AtMost::new(best, limit);
        let built = builder.build_now(parent.hash(), attributes, &mut source)?;
        let block = Arc::new(built.executed);
        let hash = block.block.hash();
        chain.insert(Arc::clone(&block))?;
        chain.set_forkchoice(hash, Some(hash), Some(hash))?;
        tracing::debug!(
            target: "dev",
            number = block.block.number(),
            %hash,
            transactions = block.block.transactions().len(),
            gas = block.block.header().gas_used,
            "Block sealed"
        );
        Ok(block)
    }

    /// Makes blocks until told to stop. A block that cannot be built is logged and tried again.
    pub async fn run(self, stop: CancellationToken) {
        match self.0.config.block_time {
            BlockTime::Every(interval) => self.run_interval(interval, stop).await,
            BlockTime::PerTransaction => self.run_per_transaction(stop).await,
        }
    }

    async fn run_interval(&self, interval: Duration, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.seal_on_thread(usize::MAX).await;
        }
    }

    async fn run_per_transaction(&self, stop: CancellationToken) {
        let mut arrivals = self.0.builder.pool().subscribe_pending();
        loop {
            while self.0.builder.pool().status().pending > 0 && !stop.is_cancelled() {
                let Some(block) = self.seal_on_thread(1).await else {
                    tokio::time::sleep(RETRY).await;
                    continue;
                };
                if block.block.transactions().iter().all(Tx::is_deposit) {
                    // What is pending does not fit or pay; the next arrival or block changes that.
                    break;
                }
            }
            let arrived = tokio::select! {
                () = stop.cancelled() => return,
                arrived = arrivals.recv() => arrived,
            };
            if matches!(arrived, Err(RecvError::Closed)) {
                return;
            }
        }
    }

    /// Seals on a thread of its own: blocks never wait for whatever else the runtime's threads are busy with.
    async fn seal_on_thread(&self, limit: usize) -> Option<Arc<ExecutedBlock>> {
        let (this, (sealed, waiting)) = (self.clone(), oneshot::channel());
        let seal = move || {
            // Nobody waits when the node stops.
            let _ = sealed.send(this.seal_with(limit));
        };
        if let Err(error) = thread::Builder::new().name("sequencer".into()).spawn(seal) {
            tracing::error!(target: "dev", %error, "No thread to build a block");
            return None;
        }
        match waiting.await {
            Ok(Ok(block)) => Some(block),
            Ok(Err(error)) => {
                tracing::error!(target: "dev", %error, "Block not built");
                None
            }
            Err(_) => {
                tracing::error!(target: "dev", "Building a block panicked");
                None
            }
        }
    }

    /// Attributes of the child of `parent` that is made now.
    fn attributes(&self, parent: &SealedHeader, now: u64) -> Result<BuildAttributes, DevError> {
        let spec = self.0.builder.executor().spec();
        let timestamp = now.max(parent.timestamp + 1);
        let previous = self.parent_attributes(parent)?;
        let origin = self.0.l1.origin(timestamp);
        let deposit = self.0.l1.attributes(parent, previous.as_ref(), timestamp).deposit();
        let deposit = Recovered::new_unchecked(Tx::Deposit(deposit.seal_slow()), DEPOSITOR);
        // What genesis says goes on: a dev chain has no system config to change it.
        let extra = spec
            .decode_extra_data(&parent.extra_data, parent.timestamp)
            .ok()
            .flatten()
            .ok_or(DevError::BeforeJovian)?;
        Ok(BuildAttributes {
            timestamp,
            prev_randao: origin.prev_randao,
            fee_recipient: self.0.config.fee_recipient,
            parent_beacon_block_root: Some(origin.beacon_root),
            gas_limit: self.0.config.gas_limit.unwrap_or(parent.gas_limit),
            eip1559_params: Some(B64::from(extra.params().to_wire())),
            min_base_fee: Some(extra.min_base_fee().ok_or(DevError::BeforeJovian)?),
            transactions: vec![deposit],
            no_tx_pool: false,
            da_caps: DaCaps::default(),
            max_bytes: None,
        })
    }

    fn parent_attributes(&self, parent: &SealedHeader) -> Result<Option<L1Attributes>, DevError> {
        if parent.number == 0 {
            return Ok(None);
        }
        let block = self
            .0
            .builder
            .chain()
            .block_by_hash(parent.hash())?
            .ok_or(PayloadError::UnknownParent(parent.hash()))?;
        let attributes = match block.transactions().first() {
            Some(Tx::Deposit(deposit)) => L1Attributes::decode(&deposit.input),
            _ => None,
        };
        attributes.map(Some).ok_or(DevError::NoL1Attributes(parent.number))
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
