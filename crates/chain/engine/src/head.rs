//! `debug_setHead`, for those who have the secret: it takes blocks back.

use alloy_primitives::U64;
use jsonrpsee::{
    core::{RpcResult, async_trait},
    proc_macros::rpc,
    types::ErrorObjectOwned,
};

use crate::{Engine, EngineError};

/// The head, by hand.
#[rpc(server, namespace = "debug")]
pub(crate) trait HeadApi {
    /// Makes an earlier canonical block the head, as in geth.
    #[method(name = "setHead")]
    async fn set_head(&self, number: U64) -> RpcResult<()>;
}

#[async_trait]
impl HeadApiServer for Engine {
    async fn set_head(&self, number: U64) -> RpcResult<()> {
        let engine = self.clone();
        let done = tokio::task::spawn_blocking(move || Engine::set_head(&engine, number.to())).await;
        done.unwrap_or_else(|error| Err(EngineError::internal(error))).map_err(ErrorObjectOwned::from)
    }
}
