//! The block that would come now.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use alloy_consensus::transaction::Recovered;
use alloy_primitives::{B64, B256};
use parking_lot::Mutex;
use tributary_evm::{BuildAttributes, ExecutedBlock};
use tributary_spec::{OpHardfork, SealedHeader, Tx, predeploys::DEPOSITOR};

use crate::{PayloadBuilder, PayloadError};

/// A pending block is good for this long, though the pool changes.
const FRESH: Duration = Duration::from_secs(1);

/// Makes the block that would come now from the pool, for whoever asks. Nobody else ever sees it: it is not in the tree.
///
/// Which block of L1 comes next is not known here, so it opens with its parent's L1-attributes deposit.
#[derive(Clone)]
pub struct PendingBlocks(Arc<Inner>);

struct Inner {
    builder: PayloadBuilder,
    latest: Mutex<Option<Latest>>,
}

struct Latest {
    parent: B256,
    /// The pool's count of changes.
    content: u64,
    built: Instant,
    block: Option<Arc<ExecutedBlock>>,
}

impl fmt::Debug for PendingBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PendingBlocks")
    }
}

impl PendingBlocks {
    /// Blocks on the builder's head, from its pool.
    pub fn new(builder: PayloadBuilder) -> Self {
        Self(Arc::new(Inner { builder, latest: Mutex::new(None) }))
    }

    /// The block on the present head. `None` if there can be none, as on a genesis that says nothing of L1. Whoever asks at the
    /// same time waits for one and the same.
    pub fn current(&self) -> Option<Arc<ExecutedBlock>> {
        let (chain, pool) = (self.0.builder.chain(), self.0.builder.pool());
        let mut latest = self.0.latest.lock();
        let (head, content) = (chain.head(), pool.changes());
        if let Some(latest) = &*latest
            && latest.parent == head.hash()
            && (latest.content == content || latest.built.elapsed() < FRESH)
        {
            return latest.block.clone();
        }
        let block = match self.build(&head) {
            Ok(block) => Some(block),
            Err(error) => {
                tracing::debug!(target: "payload", %error, "No pending block");
                None
            }
        };
        let built = Instant::now();
        *latest = Some(Latest { parent: head.hash(), content, built, block: block.clone() });
        block
    }

    /// The pending block that was made last, if it is this one.
    pub fn by_hash(&self, hash: B256) -> Option<Arc<ExecutedBlock>> {
        let latest = self.0.latest.lock();
        latest.as_ref()?.block.clone().filter(|executed| executed.block.hash() == hash)
    }

    fn build(&self, head: &SealedHeader) -> Result<Arc<ExecutedBlock>, PayloadError> {
        let builder = &self.0.builder;
        let attributes = self.attributes(head)?;
        let number = head.number + 1;
        let base_fee = builder.executor().spec().next_base_fee(head, attributes.timestamp);
        let best = builder.pool().best(head.hash(), base_fee.unwrap_or_default());
        let mut best = best.for_block(number, attributes.timestamp);
        Ok(Arc::new(builder.build_now(head.hash(), attributes, &mut best)?.executed))
    }

    fn attributes(&self, head: &SealedHeader) -> Result<BuildAttributes, PayloadError> {
        let builder = &self.0.builder;
        let (spec, forks) = (builder.executor().spec(), builder.executor().spec().forks());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let timestamp = now.max(head.timestamp + 1);
        // What the parent says goes on.
        let extra = spec.decode_extra_data(&head.extra_data, head.timestamp).ok().flatten();
        let params = extra.map_or(B64::ZERO, |extra| B64::from(extra.params().to_wire()));
        let floor = extra.and_then(|extra| extra.min_base_fee()).unwrap_or_default();
        let since = |fork| forks.active(fork, timestamp);
        Ok(BuildAttributes {
            timestamp,
            prev_randao: head.mix_hash,
            fee_recipient: head.beneficiary,
            parent_beacon_block_root: since(OpHardfork::Ecotone).then_some(B256::ZERO),
            gas_limit: head.gas_limit,
            eip1559_params: since(OpHardfork::Holocene).then_some(params),
            min_base_fee: since(OpHardfork::Jovian).then_some(floor),
            transactions: self.l1_attributes(head)?,
            no_tx_pool: spec.deposits_only(head.timestamp, timestamp),
            da_caps: builder.da_caps(),
            max_bytes: None,
        })
    }

    fn l1_attributes(&self, head: &SealedHeader) -> Result<Vec<Recovered<Tx>>, PayloadError> {
        let parent = self.0.builder.chain().block_by_hash(head.hash())?;
        let first = parent.as_ref().and_then(|block| block.transactions().first());
        let deposit = first.filter(|tx| tx.is_deposit()).cloned();
        Ok(deposit.into_iter().map(|tx| Recovered::new_unchecked(tx, DEPOSITOR)).collect())
    }
}
