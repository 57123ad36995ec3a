//! `admin_*` that is not about peers.

use crate::RpcContext;
use jsonrpsee::{
    core::{RpcResult, async_trait},
    proc_macros::rpc,
};

/// The operator's hand on the pool.
#[rpc(server, namespace = "admin")]
pub trait AdminPoolApi {
    /// Takes all transactions out of the pool, and says how many they were.
    #[method(name = "clearTxpool")]
    async fn clear_txpool(&self) -> RpcResult<u64>;
}

/// The method.
#[derive(Debug)]
pub(crate) struct AdminPoolMethods(pub(crate) RpcContext);

#[async_trait]
impl AdminPoolApiServer for AdminPoolMethods {
    async fn clear_txpool(&self) -> RpcResult<u64> {
        self.0
            .read(|context| {
                let count = context.pool.clear() as u64;
                tracing::info!(target: "txpool", count, "Transaction pool cleared");
                Ok(count)
            })
            .await
    }
}
