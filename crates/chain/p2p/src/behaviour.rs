//! The protocols this node speaks, put together.

use std::time::Duration;

use libp2p::{
    StreamProtocol, Swarm, SwarmBuilder,
    connection_limits::{self, ConnectionLimits},
    identify, noise, ping,
    request_response::{self, ProtocolSupport},
    swarm::NetworkBehaviour,
    tcp, yamux,
};

use crate::{NetworkError, by_number::ByNumberCodec, gossip::Gossip, identity::NodeKey, range::RangeCodec};

/// A peer that takes longer to answer does not.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection nobody uses is kept: peers are few, and wanted.
const IDLE: Duration = Duration::from_secs(24 * 3_600);
const MAX_PENDING: u32 = 32;

/// Everything at once.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(crate) gossip: Gossip,
    pub(crate) range: request_response::Behaviour<RangeCodec>,
    pub(crate) by_number: request_response::Behaviour<ByNumberCodec>,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

/// How many peers there may be, and how much each may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerLimits {
    /// Peers that call this node.
    pub inbound: u32,
    /// Peers that this node calls.
    pub outbound: u32,
    /// Requests a second that each may make; twice as many may come at once.
    pub requests: u32,
}

impl Default for PeerLimits {
    fn default() -> Self {
        Self { inbound: 30, outbound: 100, requests: 32 }
    }
}

/// Names of the protocols for requests.
pub(crate) struct Protocols {
    pub(crate) range: StreamProtocol,
    pub(crate) by_number: StreamProtocol,
}

/// The swarm over TCP, noise and yamux.
pub(crate) fn swarm(
    key: &NodeKey,
    agent: String,
    limits: PeerLimits,
    protocols: Protocols,
    gossip: Gossip,
) -> Result<Swarm<Behaviour>, NetworkError> {
    let failed = |error: String| NetworkError::Setup(error);
    let keypair = key.keypair();
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(MAX_PENDING))
        .with_max_pending_outgoing(Some(MAX_PENDING))
        .with_max_established_incoming(Some(limits.inbound))
        .with_max_established_outgoing(Some(limits.outbound))
        .with_max_established_per_peer(Some(2));
    let requests = || request_response::Config::default().with_request_timeout(REQUEST_TIMEOUT);
    let behaviour = Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        gossip,
        range: request_response::Behaviour::new([(protocols.range, ProtocolSupport::Full)], requests()),
        by_number: request_response::Behaviour::new(
            [(protocols.by_number, ProtocolSupport::Full)],
            requests(),
        ),
        identify: identify::Behaviour::new(
            identify::Config::new("tributary/1".to_owned(), keypair.public()).with_agent_version(agent),
        ),
        ping: ping::Behaviour::default(),
    };
    Ok(SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(|error| failed(error.to_string()))?
        .with_dns()
        .map_err(|error| failed(error.to_string()))?
        .with_behaviour(|_| behaviour)
        .map_err(|error| failed(error.to_string()))?
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
        .build())
}
