//! `web3_*`.

use crate::RpcContext;
use alloy_primitives::{B256, Bytes, keccak256};
use jsonrpsee::{
    core::{RpcResult, async_trait},
    proc_macros::rpc,
};

/// The client.
#[rpc(server, namespace = "web3")]
pub trait Web3Api {
    /// Name and version of the client.
    #[method(name = "clientVersion")]
    async fn client_version(&self) -> RpcResult<String>;

    /// Keccak-256 of some bytes.
    #[method(name = "sha3")]
    async fn sha3(&self, input: Bytes) -> RpcResult<B256>;
}

/// The methods.
#[derive(Debug)]
pub(crate) struct Web3Methods(pub(crate) RpcContext);

#[async_trait]
impl Web3ApiServer for Web3Methods {
    async fn client_version(&self) -> RpcResult<String> {
        Ok(self.0.client_version.clone())
    }

    async fn sha3(&self, input: Bytes) -> RpcResult<B256> {
        Ok(keccak256(input))
    }
}
