//! Peers that lie, flood, or do not answer.

use std::{io, time::Duration};

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes};
use alloy_rlp::Encodable;
use alloy_rpc_types_engine::PayloadStatusEnum;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, identify, noise,
    request_response::{self, Codec, ProtocolSupport},
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use tokio::task::JoinHandle;
use tributary_p2p::{NetworkConfig, PeerAddress, PeerKind, PeerLimits};

use crate::node::{Node, config, eventually, spec};

/// Bytes in, bytes out.
#[derive(Clone, Default)]
struct Raw;

impl Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn read_response<T>(&mut self, protocol: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        self.read_request(protocol, io).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, bytes: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, bytes: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }
}

#[derive(NetworkBehaviour)]
struct Hostile {
    raw: request_response::Behaviour<Raw>,
    identify: identify::Behaviour,
}

fn range_protocol() -> StreamProtocol {
    let spec = spec();
    StreamProtocol::try_from_owned(format!("/tributary/{}/{}/blocks/1", spec.chain_id(), spec.genesis_hash()))
        .unwrap()
}

async fn hostile() -> (Swarm<Hostile>, PeerAddress) {
    let mut swarm = SwarmBuilder::with_existing_identity(libp2p::identity::Keypair::generate_secp256k1())
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key| Hostile {
            raw: request_response::Behaviour::new(
                [(range_protocol(), ProtocolSupport::Full)],
                request_response::Config::default(),
            ),
            identify: identify::Behaviour::new(identify::Config::new("x/1".to_owned(), key.public())),
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let address: Multiaddr = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    let peer = *swarm.local_peer_id();
    (swarm, format!("{address}/p2p/{peer}").parse().unwrap())
}

/// Answers everything with the same bytes.
async fn liar(answer: Vec<u8>) -> (JoinHandle<()>, PeerAddress) {
    let (mut swarm, address) = hostile().await;
    let task = tokio::spawn(async move {
        loop {
            if let SwarmEvent::Behaviour(HostileEvent::Raw(request_response::Event::Message {
                message: request_response::Message::Request { channel, .. },
                ..
            })) = swarm.select_next_some().await
            {
                let _ = swarm.behaviour_mut().raw.send_response(channel, answer.clone());
            }
        }
    });
    (task, address)
}

fn compressed(items: Vec<Bytes>) -> Vec<u8> {
    let mut plain = Vec::new();
    items.encode(&mut plain);
    snap::raw::Encoder::new().compress_vec(&plain).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn liars_are_dropped_and_the_sync_goes_on_with_others() {
    let header = alloy_rlp::encode(Header { number: 9, ..Header::default() });
    let lies = [
        vec![0xff; 40],
        compressed(vec![Bytes::from(header)]),
        compressed(vec![Bytes::from_static(b"no header")]),
        snap::raw::Encoder::new().compress_vec(&vec![0; 30 << 20]).unwrap(),
    ];
    for lie in lies {
        let (source, fresh) = (Node::start().await, Node::start().await);
        source.seal(5);
        let (task, liar) = liar(lie).await;
        fresh.network.add_peer(liar.clone(), PeerKind::Static);
        eventually("the liar is there", || fresh.network.peers().len() == 1).await;
        assert_eq!(fresh.choose(source.head(), B256::ZERO), PayloadStatusEnum::Syncing);
        eventually("the liar is gone", || fresh.network.peers().is_empty()).await;
        fresh.call(&source);
        eventually("synced", || fresh.head() == source.head()).await;
        task.abort();
    }
}

/// Calls a node and asks it the same again and again, until it hangs up or `times` are over.
async fn pester(node: &Node, question: Vec<u8>, times: usize) -> (usize, bool) {
    let (mut swarm, _) = hostile().await;
    let target: PeerId = node.network.peer_id();
    let address = libp2p::Multiaddr::from(std::net::Ipv4Addr::LOCALHOST)
        .with(libp2p::multiaddr::Protocol::Tcp(node.network.enode().address.port()));
    swarm.add_peer_address(target, address.clone());
    swarm.dial(address).unwrap();
    let (mut asked, mut answered) = (0, 0);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let Ok(event) = tokio::time::timeout_at(deadline, swarm.select_next_some()).await else {
            return (answered, false);
        };
        match event {
            SwarmEvent::ConnectionEstablished { .. } => {
                for _ in 0..times.min(90) {
                    swarm.behaviour_mut().raw.send_request(&target, question.clone());
                    asked += 1;
                }
            }
            SwarmEvent::ConnectionClosed { .. } => return (answered, true),
            SwarmEvent::Behaviour(HostileEvent::Raw(event)) => {
                let answer = match event {
                    request_response::Event::Message {
                        message: request_response::Message::Response { response, .. },
                        ..
                    } => response,
                    // Not answered.
                    _ => Vec::new(),
                };
                if !answer.is_empty() {
                    answered += 1;
                }
                if asked < times {
                    swarm.behaviour_mut().raw.send_request(&target, question.clone());
                    asked += 1;
                }
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_floods_with_requests_or_sends_garbage_is_hung_up_on() {
    // One request a second, so that this machine's speed is of no matter.
    let limits = PeerLimits { requests: 1, ..PeerLimits::default() };
    let node = Node::with(NetworkConfig { limits, ..config() }).await;
    node.seal(2);
    // RLP of [0, hash, 1].
    let mut question = vec![0xe3, 0x80, 0xa0];
    question.extend(node.head());
    question.push(1);
    let (answered, hung_up) = pester(&node, question, 100_000).await;
    // It may be hung up on before the first answers arrive.
    assert!(hung_up && answered < 5_000, "{answered} answers, hung up: {hung_up}");
    for garbage in [vec![], vec![0xff; 100], vec![0xc0], vec![0; 1 << 20]] {
        let (answered, hung_up) = pester(&node, garbage, 1_000).await;
        assert!(hung_up, "{answered} answers to garbage");
        assert_eq!(answered, 0);
    }
    assert!(node.network.peers().is_empty());
}
