//! `eth_sendRawTransactionSync` (EIP-7966): the answer is the receipt.

use crate::{RpcContext, RpcError, RpcReceipt};
use alloy_primitives::Bytes;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// How long the caller waits who does not say.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);
/// How long a caller may wait.
const MAX_PATIENCE: Duration = Duration::from_secs(60);

impl RpcContext {
    /// Sends a transaction and waits for its receipt.
    pub(crate) async fn send_sync(
        &self,
        bytes: Bytes,
        patience_ms: Option<u64>,
    ) -> Result<RpcReceipt, RpcError> {
        let patience = patience_ms.map_or(DEFAULT_PATIENCE, Duration::from_millis).min(MAX_PATIENCE);
        // Listen first: the block may come before the pool's answer is read.
        let mut events = self.chain.subscribe();
        let hash = self.submit(bytes).await?;
        let receipt = async {
            loop {
                if let Some(receipt) = self.read_inner(move |context| context.rpc_receipt(hash)).await? {
                    return Ok(receipt);
                }
                if matches!(events.recv().await, Err(RecvError::Closed)) {
                    return Err(RpcError::Internal("the node stops".to_owned()));
                }
            }
        };
        tokio::time::timeout(patience, receipt).await.unwrap_or(Err(RpcError::NotMined { hash, patience }))
    }
}
