//! `eth_subscribe`.

use crate::{
    RpcContext, RpcError,
    convert::{header_to_rpc, pooled_to_rpc},
    eth::{EthPubSubApiServer, logs::matching_logs},
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
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tributary_evm::ExecutedBlock;
use tributary_tree::CanonEvent;

/// The method.
#[derive(Debug)]
pub(crate) struct PubSubMethods(pub(crate) RpcContext);

/// What a subscriber wants to hear of.
enum Topic {
    Heads,
    Logs(Box<Filter>),
    Pending { full: bool },
    Syncing,
}

impl Topic {
    fn parse(kind: SubscriptionKind, params: Option<Params>) -> Result<Self, RpcError> {
        match (kind, params.unwrap_or_default()) {
            (SubscriptionKind::NewHeads, Params::None) => Ok(Self::Heads),
            (SubscriptionKind::Logs, Params::None) => Ok(Self::Logs(Box::default())),
            (SubscriptionKind::Logs, Params::Logs(filter)) => Ok(Self::Logs(filter)),
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
        let topic = match Topic::parse(kind, params) {
            Ok(topic) => topic,
            Err(error) => {
                pending.reject(ErrorObjectOwned::from(error)).await;
                return Ok(());
            }
        };
        let context = self.0.clone();
        // Listen before the client knows, so that nothing in between is lost.
        let events = context.chain.subscribe();
        let transactions = context.pool.subscribe_pending();
        let sink = pending.accept().await?;
        tokio::spawn(async move {
            match topic {
                Topic::Heads => on_events(sink, events, new_heads).await,
                Topic::Logs(filter) => on_events(sink, events, |event| logs(event, &filter)).await,
                Topic::Pending { full } => on_transactions(sink, transactions, full).await,
                Topic::Syncing => syncing(sink).await,
            }
        });
        Ok(())
    }
}

/// Sends what `items` makes of each event, until the client leaves.
async fn on_events<T: Serialize>(
    sink: SubscriptionSink,
    mut events: tokio::sync::broadcast::Receiver<CanonEvent>,
    items: impl Fn(&CanonEvent) -> Vec<T>,
) {
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = sink.closed() => return,
        };
        match event {
            Ok(event) => {
                for item in items(&event) {
                    if send(&sink, &item).await.is_err() {
                        return;
                    }
                }
            }
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(target: "rpc", missed, "a subscriber missed chain events");
            }
            Err(RecvError::Closed) => return,
        }
    }
}

async fn on_transactions(
    sink: SubscriptionSink,
    mut transactions: tokio::sync::broadcast::Receiver<std::sync::Arc<tributary_pool::PooledTransaction>>,
    full: bool,
) {
    loop {
        let tx = tokio::select! {
            tx = transactions.recv() => tx,
            () = sink.closed() => return,
        };
        let sent = match tx {
            Ok(tx) if full => send(&sink, &pooled_to_rpc(&tx)).await,
            Ok(tx) => send(&sink, &tx.hash()).await,
            Err(RecvError::Lagged(_)) => Ok(()),
            Err(RecvError::Closed) => return,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// This node follows its own sequencer: it is never behind.
async fn syncing(sink: SubscriptionSink) {
    if send(&sink, &false).await.is_ok() {
        sink.closed().await;
    }
}

async fn send<T: Serialize>(sink: &SubscriptionSink, item: &T) -> Result<(), ()> {
    let message = SubscriptionMessage::new(sink.method_name(), sink.subscription_id(), item).map_err(drop)?;
    sink.send(message).await.map_err(drop)
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
