//! `admin_*` for peers, in the shapes of geth and reth.

use std::collections::BTreeMap;

use jsonrpsee::{
    core::{RpcResult, async_trait},
    proc_macros::rpc,
    types::{ErrorObjectOwned, error::INTERNAL_ERROR_CODE, error::INVALID_PARAMS_CODE},
};
use serde::Serialize;
use serde_json::{Value, json};
use tributary_spec::ChainSpec;
use tributary_tree::Chain;

use crate::{
    ConnectedPeer, Network, NetworkError,
    identity::{Enode, PeerAddress, socket},
    network::public_key,
    peers::PeerKind,
};

/// Who this node is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeInfo {
    /// Its id, in hex without 0x.
    pub id: String,
    /// What it calls itself.
    pub name: String,
    /// Where it is.
    pub enode: String,
    /// The same, signed.
    pub enr: String,
    /// Its address.
    pub ip: String,
    /// Its ports.
    pub ports: Ports,
    /// Address and port.
    pub listen_addr: String,
    /// What it knows of its chain.
    pub protocols: BTreeMap<&'static str, Value>,
}

/// Ports of a node.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Ports {
    /// UDP.
    pub discovery: u16,
    /// TCP.
    pub listener: u16,
}

/// A connected peer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerInfo {
    /// Its id, in hex without 0x; its libp2p id if it has a key of another kind.
    pub id: String,
    /// What it calls itself.
    pub name: String,
    /// Where it is, as far as that can be said.
    pub enode: String,
    /// What it speaks.
    pub caps: Vec<String>,
    /// The connection.
    pub network: PeerNetwork,
    /// Nothing that other clients would know.
    pub protocols: BTreeMap<String, Value>,
}

/// The connection to a peer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerNetwork {
    /// This end.
    pub local_address: String,
    /// The other end.
    pub remote_address: String,
    /// The peer called.
    pub inbound: bool,
    /// It is never banned.
    pub trusted: bool,
    /// It is called again whenever it is gone.
    #[serde(rename = "static")]
    pub fixed: bool,
}

/// Peers, for the operator.
#[rpc(server, namespace = "admin")]
pub trait AdminApi {
    /// Calls a peer, and keeps calling.
    #[method(name = "addPeer")]
    async fn add_peer(&self, peer: String) -> RpcResult<bool>;

    /// Hangs up on a peer. Trusted ones stay.
    #[method(name = "removePeer")]
    async fn remove_peer(&self, peer: String) -> RpcResult<bool>;

    /// As `addPeer`, and the peer is never banned.
    #[method(name = "addTrustedPeer")]
    async fn add_trusted_peer(&self, peer: String) -> RpcResult<bool>;

    /// Takes the trust back; the connection stays.
    #[method(name = "removeTrustedPeer")]
    async fn remove_trusted_peer(&self, peer: String) -> RpcResult<bool>;

    /// Who is connected.
    #[method(name = "peers")]
    async fn peers(&self) -> RpcResult<Vec<PeerInfo>>;

    /// Who this node is.
    #[method(name = "nodeInfo")]
    async fn node_info(&self) -> RpcResult<NodeInfo>;
}

/// The methods.
#[derive(Debug)]
pub struct AdminMethods {
    network: Network,
    chain: Chain,
}

impl AdminMethods {
    /// Over the network and the chain it serves.
    pub fn new(network: Network, chain: Chain) -> Self {
        Self { network, chain }
    }

    fn add(&self, peer: &str, kind: PeerKind) -> RpcResult<bool> {
        let named = parse(peer)?;
        if named.peer == self.network.peer_id() {
            return Err(invalid("that is this node"));
        }
        self.network.add_peer(named, kind);
        Ok(true)
    }

    fn chain_info(&self) -> Value {
        let spec: &ChainSpec = self.chain.spec();
        json!({
            "network": spec.chain_id(),
            "genesis": spec.genesis_hash(),
            "config": spec.genesis().config,
            "head": self.chain.head().hash(),
        })
    }
}

#[async_trait]
impl AdminApiServer for AdminMethods {
    async fn add_peer(&self, peer: String) -> RpcResult<bool> {
        self.add(&peer, PeerKind::Static)
    }

    async fn remove_peer(&self, peer: String) -> RpcResult<bool> {
        self.network.remove_peer(parse(&peer)?.peer).await.map_err(internal)
    }

    async fn add_trusted_peer(&self, peer: String) -> RpcResult<bool> {
        self.add(&peer, PeerKind::Trusted)
    }

    async fn remove_trusted_peer(&self, peer: String) -> RpcResult<bool> {
        self.network.distrust(&parse(&peer)?.peer);
        Ok(true)
    }

    async fn peers(&self) -> RpcResult<Vec<PeerInfo>> {
        let local = self.network.enode().address.to_string();
        Ok(self.network.peers().into_iter().map(|peer| describe(peer, &local)).collect())
    }

    async fn node_info(&self) -> RpcResult<NodeInfo> {
        let enode = self.network.enode();
        let address = enode.address;
        let chain = self.chain_info();
        Ok(NodeInfo {
            id: hex::encode(self.network.node_id()),
            name: self.network.name().to_owned(),
            enode: enode.to_string(),
            enr: self.network.record().map_err(internal)?,
            ip: address.ip().to_string(),
            ports: Ports { discovery: address.port(), listener: address.port() },
            listen_addr: address.to_string(),
            protocols: BTreeMap::from([("eth", chain.clone()), ("tributary", chain)]),
        })
    }
}

fn describe(ConnectedPeer { id, peer }: ConnectedPeer, local: &str) -> PeerInfo {
    let key = public_key(&id);
    let link = peer.link();
    let remote = link.and_then(|link| socket(&link.remote));
    let enode = key.clone().zip(remote).map(|(key, address)| Enode { key, address }.to_string());
    PeerInfo {
        id: key.map_or_else(|| id.to_string(), |key| hex::encode(key.node_id())),
        name: peer.agent.clone().unwrap_or_default(),
        enode: enode.unwrap_or_default(),
        caps: peer.protocols.iter().map(ToString::to_string).collect(),
        network: PeerNetwork {
            local_address: local.to_owned(),
            remote_address: remote.map(|address| address.to_string()).unwrap_or_default(),
            inbound: link.is_some_and(|link| link.inbound),
            trusted: peer.kind == PeerKind::Trusted,
            fixed: peer.kind >= PeerKind::Static,
        },
        protocols: BTreeMap::new(),
    }
}

fn parse(peer: &str) -> RpcResult<PeerAddress> {
    peer.parse().map_err(|error: NetworkError| invalid(&error.to_string()))
}

fn invalid(why: &str) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(INVALID_PARAMS_CODE, why.to_owned(), None::<()>)
}

fn internal(error: NetworkError) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(INTERNAL_ERROR_CODE, error.to_string(), None::<()>)
}
