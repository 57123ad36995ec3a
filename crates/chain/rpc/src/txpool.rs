//! `txpool_*`.

use crate::{RpcContext, RpcTransaction, convert::pooled_to_rpc};
use alloy_primitives::Address;
use alloy_rpc_types_txpool::{
    TxpoolContent, TxpoolContentFrom, TxpoolInspect, TxpoolInspectSummary, TxpoolStatus,
};
use jsonrpsee::{
    core::{RpcResult, async_trait},
    proc_macros::rpc,
};
use std::{collections::BTreeMap, sync::Arc};
use tributary_pool::PooledTransaction;

/// The pool's content.
#[rpc(server, namespace = "txpool")]
pub trait TxpoolApi {
    /// How many transactions it holds.
    #[method(name = "status")]
    async fn status(&self) -> RpcResult<TxpoolStatus>;

    /// All transactions.
    #[method(name = "content")]
    async fn content(&self) -> RpcResult<TxpoolContent<RpcTransaction>>;

    /// All transactions of one sender.
    #[method(name = "contentFrom")]
    async fn content_from(&self, from: Address) -> RpcResult<TxpoolContentFrom<RpcTransaction>>;

    /// All transactions, each in one line.
    #[method(name = "inspect")]
    async fn inspect(&self) -> RpcResult<TxpoolInspect>;
}

/// The methods.
#[derive(Debug)]
pub(crate) struct TxpoolMethods(pub(crate) RpcContext);

type ByNonce = BTreeMap<u64, Arc<PooledTransaction>>;

fn show<T>(txs: &ByNonce, as_: impl Fn(&PooledTransaction) -> T) -> BTreeMap<String, T> {
    txs.iter().map(|(nonce, tx)| (nonce.to_string(), as_(tx))).collect()
}

fn show_all<T>(
    senders: &BTreeMap<Address, ByNonce>,
    as_: impl Fn(&PooledTransaction) -> T + Copy,
) -> BTreeMap<Address, BTreeMap<String, T>> {
    senders.iter().map(|(sender, txs)| (*sender, show(txs, as_))).collect()
}

#[async_trait]
impl TxpoolApiServer for TxpoolMethods {
    async fn status(&self) -> RpcResult<TxpoolStatus> {
        self.0
            .read(|context| {
                let status = context.pool.status();
                Ok(TxpoolStatus { pending: status.pending as u64, queued: status.queued as u64 })
            })
            .await
    }

    async fn content(&self) -> RpcResult<TxpoolContent<RpcTransaction>> {
        self.0
            .read(|context| {
                let content = context.pool.content();
                Ok(TxpoolContent {
                    pending: show_all(&content.pending, pooled_to_rpc),
                    queued: show_all(&content.queued, pooled_to_rpc),
                })
            })
            .await
    }

    async fn content_from(&self, from: Address) -> RpcResult<TxpoolContentFrom<RpcTransaction>> {
        self.0
            .read(move |context| {
                let content = context.pool.content_from(from);
                let of = |half: &BTreeMap<Address, ByNonce>| {
                    half.get(&from).map(|txs| show(txs, pooled_to_rpc)).unwrap_or_default()
                };
                Ok(TxpoolContentFrom { pending: of(&content.pending), queued: of(&content.queued) })
            })
            .await
    }

    async fn inspect(&self) -> RpcResult<TxpoolInspect> {
        let line = |tx: &PooledTransaction| TxpoolInspectSummary::from_tx(tx.transaction().inner().clone());
        self.0
            .read(move |context| {
                let content = context.pool.content();
                Ok(TxpoolInspect {
                    pending: show_all(&content.pending, line),
                    queued: show_all(&content.queued, line),
                })
            })
            .await
    }
}
