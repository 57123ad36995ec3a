//! `eth_subscribe`.

use crate::{
    RpcContext, RpcError,
    convert::{header_to_rpc, pooled_to_rpc},
    eth::{
        EthPubSubApiServer,
        bounds::{FilterPlace, FilterSpace, bounded},
        logs::matching_logs,
    },
};
use alloy_primitives::U256;
use alloy_rpc_types_eth::{
    Filter,
    pubsub::{Params, SubscriptionKind},
};
use jsonrpsee::{
    PendingSubscriptionSink, SubscriptionMessage, SubscriptionSink,
    core::{SubscriptionResult, async_trait},
    types::ErrorObjectOwned,
};
use tributary_evm::ExecutedBlock;
use tributary_tree::CanonEvent;

/// The method.
#[derive(Debug)]
pub(crate) struct PubSubMethods(pub(crate) RpcContext);

/// What a subscriber wants to hear of.
enum Topic {
    Heads,
    Logs(Box<Filter>, FilterPlace),
    Pending { full: bool },
    Syncing,
}

impl Topic {
    fn parse(kind: SubscriptionKind, params: Option<Params>, space: &FilterSpace) -> Result<Self, RpcError> {
        let of_logs = |filter| {
            let filter = bounded(filter)?;
            let place = space.place(&filter)?;
            Ok(Self::Logs(Box::new(filter), place))
        };
        match (kind, params.unwrap_or_default()) {
            (SubscriptionKind::NewHeads, Params::None) => Ok(Self::Heads),
            (SubscriptionKind::Logs, Params::None) => of_logs(Filter::default()),
            (SubscriptionKind::Logs, Params::Logs(filter)) => of_logs(*filter),
            (SubscriptionKind::NewPendingTransactions, Params::None) => Ok(Self::Pending { full: false }),
            (SubscriptionKind::NewPendingTransactions, Params::Bool(full)) => Ok(Self::Pending { full }),
            (SubscriptionKind::Syncing, Params::None) => Ok(Self::Syncing),
            (SubscriptionKind::TransactionReceipts, _) => {
                Err(RpcError::Unsupported("subscription transactionReceipts is not supported".to_owned()))
            }
            (kind, _) => Err(RpcError::InvalidParams(format!("invalid params for {kind}"))),
        }
    }
}

#[async_trait]
impl EthPubSubApiServer for PubSubMethods {
    async fn subscribe(
        &self,
        pending: PendingSubscriptionSink,
        kind: SubscriptionKind,
        params: Option<Params>,
    ) -> SubscriptionResult {
        let topic = match Topic::parse(kind, params, &self.0.filters.space) {
            Ok(topic) => topic,
            Err(error) => {
                pending.reject(ErrorObjectOwned::from(error)).await;
                return Ok(());
            }
        };
        // Each listens to what it tells of and to nothing else (what is not read is kept), and before the client knows, so
        // that nothing in between is lost.
        let (chain, pool, backlog) = (&self.0.chain, &self.0.pool, &self.0.backlog);
        match topic {
            Topic::Heads => backlog.deliver(pending, chain.subscribe(), new_heads).await,
            Topic::Logs(filter, _place) => {
                backlog.deliver(pending, chain.subscribe(), |event| logs(event, &filter)).await
            }
            Topic::Pending { full: true } => {
                backlog.deliver(pending, pool.subscribe_pending(), |tx| vec![pooled_to_rpc(tx)]).await
            }
            Topic::Pending { full: false } => {
                backlog.deliver(pending, pool.subscribe_pending(), |tx| vec![tx.hash()]).await
            }
            Topic::Syncing => syncing(pending.accept().await?).await,
        }
    }
}

/// This node follows its own sequencer: it is never behind.
async fn syncing(sink: SubscriptionSink) -> SubscriptionResult {
    let message = SubscriptionMessage::new(sink.method_name(), sink.subscription_id(), &false)?;
    if sink.send(message).await.is_ok() {
        sink.closed().await;
    }
    Ok(())
}

fn new_heads(event: &CanonEvent) -> Vec<crate::RpcHeader> {
    let size = |block: &ExecutedBlock| Some(U256::from(block.block.rlp_length()));
    event.added().iter().map(|block| header_to_rpc(block.block.header()).with_size(size(block))).collect()
}

fn logs(event: &CanonEvent, filter: &Filter) -> Vec<alloy_rpc_types_eth::Log> {
    let of = |block: &ExecutedBlock, removed: bool| {
        matching_logs(filter, block.block.header(), block.block.transactions(), &block.receipts, removed)
    };
    let removed = event.removed().iter().flat_map(|block| of(block, true));
    removed.chain(event.added().iter().flat_map(|block| of(block, false))).collect()
}
