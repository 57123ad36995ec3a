//! [`Network`]: the handle that the rest of the node has.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use alloy_primitives::{Address, B256};
use futures::StreamExt;
use libp2p::{
    PeerId, Swarm,
    swarm::{NetworkBehaviour, SwarmEvent},
};
use parking_lot::Mutex;
use std::time::Instant;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tributary_engine_api::{Engine, NewPayload};
use tributary_spec::{ChainSpec, RecoveredBlock};

use crate::{
    NetworkError, SequencerKey,
    behaviour::{PeerLimits, Protocols, swarm},
    by_number::{self, ByNumberAnswer},
    follow,
    gossip::{Topics, router},
    identity::{Enode, NodeKey, NodePublicKey, PeerAddress, dialable, socket, tcp},
    peers::{Peer, PeerBook, PeerKind},
    range::{self, RangeAnswer, RangeRequest},
    serve::Librarian,
    service::{Command, Parts, Service},
    sync,
};

const COMMANDS: usize = 256;
/// Blocks by gossip that wait for their execution.
const PAYLOADS: usize = 64;
const LISTEN_PATIENCE: Duration = Duration::from_secs(5);
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(3);
/// What the scores of gossip are measured by.
const BLOCK_TIME: Duration = Duration::from_secs(2);

/// What the network is told.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// Where peers call; port 0 is any free one.
    pub listen: SocketAddr,
    /// The address that others are told, if it differs.
    pub external: Option<std::net::IpAddr>,
    /// Who this node is.
    pub key: NodeKey,
    /// What it calls itself.
    pub agent: String,
    /// How many peers.
    pub limits: PeerLimits,
    /// Peers to keep connected.
    pub peers: Vec<(PeerAddress, PeerKind)>,
    /// Whose blocks are followed without a rollup node. `None`: gossip is ignored.
    pub signer: Option<Address>,
    /// With this key, blocks that become canonical here are signed and published.
    pub publish: Option<SequencerKey>,
}

/// The peers of this node. Clones share them.
#[derive(Debug, Clone)]
pub struct Network(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    key: NodeKey,
    chain_id: u64,
    address: SocketAddr,
    name: String,
    commands: mpsc::Sender<Command>,
    book: Arc<Mutex<PeerBook>>,
    changes: watch::Sender<()>,
    range: libp2p::StreamProtocol,
    by_number: libp2p::StreamProtocol,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// A connected peer.
#[derive(Debug, Clone)]
pub struct ConnectedPeer {
    /// Its id.
    pub id: PeerId,
    /// What is known of it.
    pub peer: Peer,
}

impl Network {
    /// Listens, calls the named peers, serves blocks, and fetches what the engine misses.
    pub async fn start(config: NetworkConfig, engine: Engine) -> Result<Self, NetworkError> {
        let spec: Arc<ChainSpec> = Arc::clone(engine.chain().spec());
        let topics = Topics::new(spec.chain_id());
        let protocols =
            Protocols { range: range::protocol(&spec), by_number: by_number::protocol(spec.chain_id()) };
        let (range, by_number) = (protocols.range.clone(), protocols.by_number.clone());
        let gossip = router(&topics, BLOCK_TIME)?;
        let mut swarm = swarm(&config.key, config.agent.clone(), config.limits, protocols, gossip)?;
        let bound = listen(&mut swarm, config.listen).await?;
        crate::metrics::connected(0);
        let address = SocketAddr::new(config.external.unwrap_or(dialable(bound.ip())), bound.port());

        let book = Arc::new(Mutex::new(PeerBook::default()));
        for (named, kind) in &config.peers {
            book.lock().name(named.peer, named.address.clone(), *kind, Instant::now());
        }
        let (commands, orders) = mpsc::channel(COMMANDS);
        let (payloads, arrivals) = mpsc::channel(PAYLOADS);
        let changes = watch::Sender::new(());
        let service = Service::new(Parts {
            swarm,
            spec: Arc::clone(&spec),
            book: Arc::clone(&book),
            changes: changes.clone(),
            topics,
            signer: config.signer,
            key: config.publish.clone(),
            payloads,
            librarian: Librarian::new(engine.chain().clone()),
            requests: config.limits.requests,
        });
        let network = Self(Arc::new(Shared {
            key: config.key,
            chain_id: spec.chain_id(),
            address,
            name: config.agent,
            commands,
            book,
            changes,
            range,
            by_number,
            tasks: Mutex::default(),
        }));
        let mut tasks = vec![
            tokio::spawn(service.run(orders)),
            tokio::spawn(sync::run(network.clone(), engine.clone())),
            tokio::spawn(follow::run(network.clone(), engine.clone(), arrivals)),
        ];
        if config.publish.is_some() {
            tasks.push(tokio::spawn(follow::publish(network.clone(), engine.chain().subscribe())));
        }
        *network.0.tasks.lock() = tasks;
        tracing::info!(target: "p2p", enode = %network.enode(), peer = %network.peer_id(), "P2P networking initialized");
        Ok(network)
    }

    /// Where this node can be reached.
    pub fn enode(&self) -> Enode {
        Enode { key: self.0.key.public(), address: self.0.address }
    }

    /// The same as a signed record.
    pub fn record(&self) -> Result<String, NetworkError> {
        self.0.key.record(self.0.chain_id, self.0.address)
    }

    /// This node, as libp2p names it.
    pub fn peer_id(&self) -> PeerId {
        self.0.key.public().peer_id()
    }

    /// This node, as execution clients name it.
    pub fn node_id(&self) -> B256 {
        self.0.key.public().node_id()
    }

    /// What this node calls itself.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Names a peer: it is called, and called again whenever it is gone.
    pub fn add_peer(&self, named: PeerAddress, kind: PeerKind) {
        let mut book = self.0.book.lock();
        let kind = book.get(&named.peer).map_or(kind, |known| known.kind.max(kind));
        book.name(named.peer, named.address, kind, Instant::now());
    }

    /// Takes trust back.
    pub fn distrust(&self, peer: &PeerId) {
        self.0.book.lock().distrust(peer);
    }

    /// Hangs up and does not call again. False for a trusted peer, which stays.
    pub async fn remove_peer(&self, peer: PeerId) -> Result<bool, NetworkError> {
        if !self.0.book.lock().remove(&peer) {
            return Ok(false);
        }
        self.send(Command::Disconnect(peer)).await?;
        Ok(true)
    }

    /// Who is connected.
    pub fn peers(&self) -> Vec<ConnectedPeer> {
        let book = self.0.book.lock();
        book.connected().map(|(id, peer)| ConnectedPeer { id: *id, peer: peer.clone() }).collect()
    }

    /// Changes whenever a peer comes, goes, or says what it speaks.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    /// Connected peers that serve ranges.
    pub(crate) fn range_peers(&self) -> Vec<PeerId> {
        self.speaking(&self.0.range)
    }

    /// Connected peers that serve blocks by number only: op-nodes.
    pub(crate) fn number_peers(&self) -> Vec<PeerId> {
        let ranges = self.range_peers();
        self.speaking(&self.0.by_number).into_iter().filter(|peer| !ranges.contains(peer)).collect()
    }

    fn speaking(&self, protocol: &libp2p::StreamProtocol) -> Vec<PeerId> {
        let book = self.0.book.lock();
        let mut peers: Vec<_> = book
            .connected()
            .filter(|(_, peer)| peer.protocols.contains(protocol))
            .map(|(id, _)| *id)
            .collect();
        peers.sort_unstable();
        peers
    }

    pub(crate) async fn range(
        &self,
        peer: PeerId,
        request: RangeRequest,
    ) -> Result<RangeAnswer, NetworkError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Range(peer, request, reply)).await?;
        answer.await.map_err(|_| NetworkError::Ended)?
    }

    pub(crate) async fn by_number(&self, peer: PeerId, number: u64) -> Result<ByNumberAnswer, NetworkError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::ByNumber(peer, number, reply)).await?;
        answer.await.map_err(|_| NetworkError::Ended)?
    }

    pub(crate) async fn punish(&self, peer: PeerId, penalty: u32, why: String) {
        // A network that has ended has no peers.
        let _ = self.send(Command::Punish(peer, penalty, why)).await;
    }

    pub(crate) async fn publish(&self, block: Arc<RecoveredBlock>) -> Result<(), NetworkError> {
        self.send(Command::Publish(block)).await
    }

    async fn send(&self, command: Command) -> Result<(), NetworkError> {
        self.0.commands.send(command).await.map_err(|_| NetworkError::Ended)
    }

    /// Hangs up and ends all tasks.
    pub async fn stop(&self) {
        let (done, ended) = oneshot::channel();
        if self.send(Command::Shutdown(done)).await.is_ok() {
            let _ = tokio::time::timeout(SHUTDOWN_PATIENCE, ended).await;
        }
        let tasks = std::mem::take(&mut *self.0.tasks.lock());
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            // Aborted is what it should be.
            let _ = task.await;
        }
    }
}

impl tributary_rpc::Peers for Network {
    fn peer_count(&self) -> usize {
        self.0.book.lock().connected().count()
    }
}

/// Payloads that came by gossip, with who brought them.
pub(crate) type Arrivals = mpsc::Receiver<(PeerId, NewPayload)>;

/// The key in a peer's id, if execution clients could name it.
pub(crate) fn public_key(peer: &PeerId) -> Option<NodePublicKey> {
    NodePublicKey::from_peer_id(peer)
}

/// What an error and those beneath it say: libp2p's own often say nothing.
fn causes(error: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    let mut said: Vec<String> = all.filter(|text| !text.is_empty()).collect();
    said.dedup();
    said.join(": ")
}

async fn listen<B: NetworkBehaviour>(
    swarm: &mut Swarm<B>,
    address: SocketAddr,
) -> Result<SocketAddr, NetworkError> {
    let failed = |error: String| NetworkError::Listen(address, error);
    swarm.listen_on(tcp(address)).map_err(|error| failed(causes(&error)))?;
    let bound = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { address: bound, .. } => {
                    if let Some(bound) = socket(&bound) {
                        return Ok(SocketAddr::new(address.ip(), bound.port()));
                    }
                }
                SwarmEvent::ListenerError { error, .. }
                | SwarmEvent::ListenerClosed { reason: Err(error), .. } => return Err(error.to_string()),
                _ => {}
            }
        }
    };
    match tokio::time::timeout(LISTEN_PATIENCE, bound).await {
        Ok(bound) => bound.map_err(failed),
        Err(_) => Err(failed("no answer from the system".to_owned())),
    }
}
