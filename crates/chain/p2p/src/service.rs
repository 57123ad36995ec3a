//! The loop that owns the swarm: connections, requests both ways, gossip.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::Address;
use futures::StreamExt;
use libp2p::{
    PeerId, Swarm,
    gossipsub::{self, MessageAcceptance, MessageId, TopicHash},
    identify,
    request_response::{self, Message, OutboundFailure, OutboundRequestId, ResponseChannel},
    swarm::{
        SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tributary_engine_api::NewPayload;
use tributary_spec::{ChainSpec, RecoveredBlock};

use crate::{
    NetworkError,
    behaviour::{Behaviour, BehaviourEvent},
    by_number::{ByNumberAnswer, Malformed},
    gossip::{MessageError, Seen, SeenBlocks, SequencerKey, SignedBlock, Topics},
    limiter::Limiter,
    metrics,
    peers::{Link, PeerBook},
    range::{RangeAnswer, RangeRequest},
    serve::{self, Librarian},
};

/// How often named peers are looked after.
const UPKEEP: Duration = Duration::from_millis(500);
/// Requests of peers that are being answered or wait for it.
const MAX_SERVED: usize = 64;
const INVALID_MESSAGE: u32 = 50;
const TOO_MANY_REQUESTS: u32 = 5;
const MALFORMED_REQUEST: u32 = 20;

/// What others in this node want of the swarm.
#[derive(Debug)]
pub(crate) enum Command {
    Range(PeerId, RangeRequest, Reply<RangeAnswer>),
    ByNumber(PeerId, u64, Reply<ByNumberAnswer>),
    Publish(Arc<RecoveredBlock>),
    Disconnect(PeerId),
    Punish(PeerId, u32, String),
    Shutdown(oneshot::Sender<()>),
}

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, NetworkError>>;

/// An answer that was looked up.
enum Served {
    Range(ResponseChannel<RangeAnswer>, RangeAnswer),
    ByNumber(ResponseChannel<ByNumberAnswer>, ByNumberAnswer),
    /// The chain could not be read.
    Nothing,
}

/// What the loop works with.
pub(crate) struct Service {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) book: Arc<Mutex<PeerBook>>,
    /// Changes when connections do.
    pub(crate) changes: watch::Sender<()>,
    pub(crate) topics: Topics,
    /// Whose blocks are believed.
    pub(crate) signer: Option<Address>,
    pub(crate) key: Option<SequencerKey>,
    /// Blocks that came by gossip and were checked.
    pub(crate) payloads: mpsc::Sender<(PeerId, NewPayload)>,
    pub(crate) librarian: Librarian,
    seen: SeenBlocks,
    limiter: Limiter,
    served: (mpsc::Sender<Served>, mpsc::Receiver<Served>),
    serving: usize,
    ranges: HashMap<OutboundRequestId, Reply<RangeAnswer>>,
    numbers: HashMap<OutboundRequestId, Reply<ByNumberAnswer>>,
}

/// What a service begins with.
pub(crate) struct Parts {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) book: Arc<Mutex<PeerBook>>,
    pub(crate) changes: watch::Sender<()>,
    pub(crate) topics: Topics,
    pub(crate) signer: Option<Address>,
    pub(crate) key: Option<SequencerKey>,
    pub(crate) payloads: mpsc::Sender<(PeerId, NewPayload)>,
    pub(crate) librarian: Librarian,
    /// Requests a second of each peer.
    pub(crate) requests: u32,
}

impl Service {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { swarm, spec, book, changes, topics, signer, key, payloads, librarian, requests } = parts;
        Self {
            swarm,
            spec,
            book,
            changes,
            topics,
            signer,
            key,
            payloads,
            librarian,
            seen: SeenBlocks::default(),
            limiter: Limiter::new(requests),
            served: mpsc::channel(MAX_SERVED),
            serving: 0,
            ranges: HashMap::new(),
            numbers: HashMap::new(),
        }
    }

    /// Runs until it is told to stop, or until nobody is left who could.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut upkeep = tokio::time::interval(UPKEEP);
        upkeep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    None => return,
                    Some(Command::Shutdown(done)) => {
                        self.hang_up();
                        let _ = done.send(());
                        return;
                    }
                    Some(command) => self.obey(command),
                },
                Some(served) = self.served.1.recv() => self.answer(served),
                event = self.swarm.select_next_some() => self.handle(event),
                _ = upkeep.tick() => self.call_peers(),
            }
        }
    }

    fn hang_up(&mut self) {
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Range(peer, request, reply) => {
                let id = self.swarm.behaviour_mut().range.send_request(&peer, Ok(request));
                self.ranges.insert(id, reply);
            }
            Command::ByNumber(peer, number, reply) => {
                let id = self.swarm.behaviour_mut().by_number.send_request(&peer, Ok(number));
                self.numbers.insert(id, reply);
            }
            Command::Publish(block) => self.publish(&block),
            Command::Disconnect(peer) => {
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            Command::Punish(peer, penalty, why) => self.punish(peer, penalty, &why),
            // Taken by the loop.
            Command::Shutdown(_) => {}
        }
    }

    fn call_peers(&mut self) {
        let due = self.book.lock().due_calls(Instant::now());
        for (peer, address) in due {
            let options = DialOpts::peer_id(peer)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(vec![address])
                .build();
            if let Err(error) = self.swarm.dial(options) {
                tracing::debug!(target: "p2p", %peer, %error, "Not called");
            }
        }
    }

    fn punish(&mut self, peer: PeerId, penalty: u32, why: &str) {
        tracing::debug!(target: "p2p", %peer, penalty, why, "Peer misbehaved");
        metrics::misbehaved();
        if self.book.lock().punish(peer, penalty, Instant::now()) {
            tracing::warn!(target: "p2p", %peer, why, "Peer dropped");
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    fn handle(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(event)) => self.gossip(event),
            SwarmEvent::Behaviour(BehaviourEvent::Range(event)) => self.range(event),
            SwarmEvent::Behaviour(BehaviourEvent::ByNumber(event)) => self.by_number(event),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(event)) => self.identified(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let now = Instant::now();
                let link =
                    Link { remote: endpoint.get_remote_address().clone(), inbound: endpoint.is_listener() };
                let mut book = self.book.lock();
                if book.is_welcome(&peer_id, now) {
                    tracing::debug!(target: "p2p", peer = %peer_id, remote = %link.remote, inbound = link.inbound, "Peer connected");
                    book.connected_by(peer_id, connection_id, link, now);
                    metrics::connected(book.connected().count());
                    drop(book);
                    self.changes.send_replace(());
                } else {
                    drop(book);
                    self.swarm.close_connection(connection_id);
                }
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, num_established, .. } => {
                let mut book = self.book.lock();
                book.disconnected(&peer_id, connection_id, Instant::now());
                metrics::connected(book.connected().count());
                drop(book);
                if num_established == 0 {
                    self.limiter.forget(&peer_id);
                    let cause = cause.map(|cause| cause.to_string()).unwrap_or_default();
                    tracing::debug!(target: "p2p", peer = %peer_id, cause, "Peer disconnected");
                }
                self.changes.send_replace(());
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                tracing::debug!(target: "p2p", %peer, %error, "Peer not reached");
                self.book.lock().unreachable(&peer, Instant::now());
            }
            SwarmEvent::ListenerClosed { reason: Err(error), .. }
            | SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(target: "p2p", %error, "Listener failed");
            }
            _ => {}
        }
    }

    fn identified(&mut self, event: identify::Event) {
        if let identify::Event::Received { peer_id, info, .. } = event {
            self.book.lock().identified(&peer_id, info.agent_version, info.protocols);
            self.changes.send_replace(());
        }
    }

    fn gossip(&mut self, event: gossipsub::Event) {
        if let gossipsub::Event::Message { propagation_source, message_id, message } = event {
            let acceptance = self.judge(propagation_source, &message.topic, &message.data);
            self.report(&message_id, &propagation_source, acceptance);
        }
    }

    fn report(&mut self, id: &MessageId, from: &PeerId, acceptance: MessageAcceptance) {
        self.swarm.behaviour_mut().gossip.report_message_validation_result(id, from, acceptance);
    }

    fn judge(&mut self, from: PeerId, topic: &TopicHash, data: &[u8]) -> MessageAcceptance {
        let (Some(signer), Some(shape)) = (self.signer, self.topics.shape(topic)) else {
            return MessageAcceptance::Ignore;
        };
        let block = match SignedBlock::verify(&self.spec, signer, shape, data, unix_now()) {
            Ok(block) => block,
            Err(error) => {
                metrics::gossip("rejected");
                // Old news is spread again by whoever comes late; it is not worth a ban.
                let penalty = if matches!(error, MessageError::Time { .. }) { 0 } else { INVALID_MESSAGE };
                self.punish(from, penalty, &error.to_string());
                return MessageAcceptance::Reject;
            }
        };
        let wire = &block.payload.payload;
        match self.seen.see(wire.block_number, wire.block_hash) {
            Seen::New => {}
            Seen::Again => return MessageAcceptance::Ignore,
            Seen::TooMany => return MessageAcceptance::Reject,
        }
        metrics::gossip("accepted");
        tracing::debug!(target: "p2p", peer = %from, number = wire.block_number, hash = %wire.block_hash, "Block by gossip");
        if self.payloads.try_send((from, block.payload)).is_err() {
            // Execution is behind: what is left out here is fetched later.
            tracing::debug!(target: "p2p", "Blocks come faster than they are executed");
        }
        MessageAcceptance::Accept
    }

    fn publish(&mut self, block: &RecoveredBlock) {
        let Some(key) = &self.key else { return };
        let (shape, message) = SignedBlock::sign(&self.spec, key, block);
        let topic = self.topics.of(shape).hash();
        match self.swarm.behaviour_mut().gossip.publish(topic, message) {
            Ok(_) => metrics::gossip("published"),
            Err(gossipsub::PublishError::NoPeersSubscribedToTopic | gossipsub::PublishError::Duplicate) => {}
            Err(error) => {
                tracing::warn!(target: "p2p", number = block.number(), %error, "Block not published");
            }
        }
    }

    fn range(&mut self, event: request_response::Event<Result<RangeRequest, Malformed>, RangeAnswer>) {
        use request_response::Event;
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                if let Some(request) = self.admit(peer, request) {
                    let librarian = self.librarian.clone();
                    self.look_up(async move {
                        let answer = librarian.look_up(move |chain| serve::range(chain, &request)).await;
                        answer.map(|answer| Served::Range(channel, answer))
                    });
                }
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                if let Some(reply) = self.ranges.remove(&request_id) {
                    let _ = reply.send(Ok(response));
                }
            }
            Event::OutboundFailure { request_id, error, .. } => {
                if let Some(reply) = self.ranges.remove(&request_id) {
                    let _ = reply.send(Err(failed(&error)));
                }
            }
            Event::InboundFailure { .. } | Event::ResponseSent { .. } => {}
        }
    }

    fn by_number(&mut self, event: request_response::Event<Result<u64, Malformed>, ByNumberAnswer>) {
        use request_response::Event;
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                if let Some(request) = self.admit(peer, request) {
                    let librarian = self.librarian.clone();
                    self.look_up(async move {
                        let answer = librarian.look_up(move |chain| serve::by_number(chain, request)).await;
                        answer.map(|answer| Served::ByNumber(channel, answer))
                    });
                }
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                if let Some(reply) = self.numbers.remove(&request_id) {
                    let _ = reply.send(Ok(response));
                }
            }
            Event::OutboundFailure { request_id, error, .. } => {
                if let Some(reply) = self.numbers.remove(&request_id) {
                    let _ = reply.send(Err(failed(&error)));
                }
            }
            Event::InboundFailure { .. } | Event::ResponseSent { .. } => {}
        }
    }

    /// The request, if it is one and its sender may ask now. What is not answered fails on the other side at once.
    fn admit<T>(&mut self, peer: PeerId, request: Result<T, Malformed>) -> Option<T> {
        if !self.limiter.admit(peer, Instant::now()) {
            self.punish(peer, TOO_MANY_REQUESTS, "too many requests");
            return None;
        }
        match request {
            Ok(request) => (self.serving < MAX_SERVED).then_some(request),
            Err(malformed) => {
                self.punish(peer, MALFORMED_REQUEST, &malformed.to_string());
                None
            }
        }
    }

    fn look_up(&mut self, answer: impl Future<Output = Option<Served>> + Send + 'static) {
        self.serving += 1;
        let done = self.served.0.clone();
        tokio::spawn(async move {
            let answer = answer.await;
            // The channel has room for all that are served at once.
            let _ = done.send(answer.unwrap_or(Served::Nothing)).await;
        });
    }

    fn answer(&mut self, served: Served) {
        self.serving = self.serving.saturating_sub(1);
        metrics::served();
        let behaviour = self.swarm.behaviour_mut();
        // Whoever left does not need it any more.
        match served {
            Served::Range(channel, answer) => drop(behaviour.range.send_response(channel, answer)),
            Served::ByNumber(channel, answer) => drop(behaviour.by_number.send_response(channel, answer)),
            Served::Nothing => {}
        }
    }
}

fn failed(error: &OutboundFailure) -> NetworkError {
    match error {
        OutboundFailure::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            NetworkError::Misbehaved(error.to_string())
        }
        error => NetworkError::Request(error.to_string()),
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
