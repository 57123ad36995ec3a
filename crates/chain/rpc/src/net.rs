//! `net_*`.

use crate::RpcContext;
use alloy_primitives::U64;
use jsonrpsee::{
    core::{RpcResult, async_trait},
    proc_macros::rpc,
};

/// Who knows how many peers there are.
pub trait Peers: std::fmt::Debug + Send + Sync {
    /// How many are connected.
    fn peer_count(&self) -> usize;
}

/// A node without a network.
#[derive(Debug)]
pub struct NoPeers;

impl Peers for NoPeers {
    fn peer_count(&self) -> usize {
        0
    }
}

/// The network.
#[rpc(server, namespace = "net")]
pub trait NetApi {
    /// The chain id as a decimal string.
    #[method(name = "version")]
    async fn version(&self) -> RpcResult<String>;

    /// Whether the node accepts connections of others.
    #[method(name = "listening")]
    async fn listening(&self) -> RpcResult<bool>;

    /// How many it is connected to.
    #[method(name = "peerCount")]
    async fn peer_count(&self) -> RpcResult<U64>;
}

/// The methods.
#[derive(Debug)]
pub(crate) struct NetMethods(pub(crate) RpcContext);

#[async_trait]
impl NetApiServer for NetMethods {
    async fn version(&self) -> RpcResult<String> {
        Ok(self.0.spec.chain_id().to_string())
    }

    async fn listening(&self) -> RpcResult<bool> {
        Ok(true)
    }

    async fn peer_count(&self) -> RpcResult<U64> {
        Ok(U64::from(self.0.peers.peer_count()))
    }
}
