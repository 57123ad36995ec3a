//! `miner_*`: what the batcher asks of the builder.

use alloy_primitives::U64;
use jsonrpsee::{
    core::{RpcResult, async_trait},
    proc_macros::rpc,
};
use tributary_evm::DaCaps;

use crate::Engine;

/// Limits of payloads.
#[rpc(server, namespace = "miner")]
pub trait MinerApi {
    /// Largest estimated size, in bytes, of a pool transaction and of a block's pool transactions; 0 is no limit. Holds
    /// for payloads begun from now on.
    #[method(name = "setMaxDASize")]
    async fn set_max_da_size(&self, max_tx_size: U64, max_block_size: U64) -> RpcResult<bool>;
}

#[async_trait]
impl MinerApiServer for Engine {
    async fn set_max_da_size(&self, max_tx_size: U64, max_block_size: U64) -> RpcResult<bool> {
        let limit = |size: U64| Some(size.to::<u64>()).filter(|size| *size > 0);
        let caps = DaCaps { max_tx: limit(max_tx_size), max_block: limit(max_block_size) };
        if caps != self.builder().da_caps() {
            tracing::info!(target: "engine", max_tx = ?caps.max_tx, max_block = ?caps.max_block, "DA limits set");
        }
        self.builder().set_da_caps(caps);
        Ok(true)
    }
}
