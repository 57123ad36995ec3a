//! `--addr`, `--port`, discovery and peers, as reth spells them.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    path::PathBuf,
};

use alloy_primitives::Address;
use clap::Args;
use eyre::{Context, Result, eyre};
use tributary_p2p::{NetworkConfig, NodeKey, PeerAddress, PeerKind, PeerLimits, SequencerKey};

use super::Layout;

/// The network of execution clients.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Networking")]
pub(crate) struct NetworkArgs {
    /// Address for connections of peers.
    #[arg(long, default_value = "0.0.0.0")]
    pub(crate) addr: IpAddr,

    /// Port for connections of peers; 0: any free one.
    #[arg(long, default_value_t = 30303)]
    pub(crate) port: u16,

    /// Do not look for peers.
    #[arg(long, short = 'd')]
    pub(crate) disable_discovery: bool,

    /// The address that peers are told: `any`, the interface's that leads outward; `extip:<IP>`, behind a NAT; `none`, the one listened on.
    #[arg(long, default_value = "any")]
    pub(crate) nat: String,

    /// File of the key that this node is known by. Made if it is missing. Default: `discovery-secret` in the datadir.
    #[arg(long = "p2p-secret-key", value_name = "PATH")]
    pub(crate) p2p_secret_key: Option<PathBuf>,

    /// Peers to stay connected to, as enode URLs, ENRs or multiaddresses. There is no discovery.
    #[arg(long, value_delimiter = ',', value_name = "ENODES")]
    pub(crate) bootnodes: Vec<String>,

    /// Peers to stay connected to and never to ban, as enode URLs, ENRs or multiaddresses.
    #[arg(long, value_delimiter = ',', value_name = "ENODES")]
    pub(crate) trusted_peers: Vec<String>,

    /// Most peers that this node calls.
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_outbound_peers: Option<usize>,

    /// Most peers that call this node.
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_inbound_peers: Option<usize>,

    /// Peers to stay connected to, as multiaddresses: other nodes, or op-nodes.
    #[arg(long = "p2p.static", value_delimiter = ',', value_name = "MULTIADDRS")]
    pub(crate) p2p_static: Vec<String>,

    /// Follow the blocks that this address signs, as they come by gossip, without a rollup node beside this one.
    #[arg(long = "p2p.unsafe-block-signer", value_name = "ADDRESS")]
    pub(crate) unsafe_block_signer: Option<Address>,

    /// Sign the blocks of a dev chain with this key, 32 bytes in hex, and publish them.
    #[arg(
        long = "p2p.sequencer.key",
        value_name = "KEY",
        env = "TRIBUTARY_P2P_SEQUENCER_KEY",
        hide_env_values = true
    )]
    pub(crate) sequencer_key: Option<SequencerKey>,

    /// Let the system choose every port that has a flag, whatever the flag says.
    #[arg(long)]
    pub(crate) with_unused_ports: bool,
}

impl NetworkArgs {
    /// A dev chain has peers only if somebody asked for them: several of them often share a machine.
    pub(crate) fn wanted_in_dev(&self) -> bool {
        self.sequencer_key.is_some() || !self.named_peers().is_empty()
    }

    fn named_peers(&self) -> Vec<(&'static str, &String, PeerKind)> {
        let bootnodes = self.bootnodes.iter().map(|peer| ("--bootnodes", peer, PeerKind::Static));
        let fixed = self.p2p_static.iter().map(|peer| ("--p2p.static", peer, PeerKind::Static));
        let trusted = self.trusted_peers.iter().map(|peer| ("--trusted-peers", peer, PeerKind::Trusted));
        bootnodes.chain(fixed).chain(trusted).collect()
    }

    /// What the network is told.
    pub(crate) fn config(&self, layout: &Layout) -> Result<NetworkConfig> {
        let defaults = PeerLimits::default();
        let limit = |given: Option<usize>, default: u32| {
            given.map_or(default, |given| u32::try_from(given).unwrap_or(u32::MAX))
        };
        let key = self.p2p_secret_key.clone().unwrap_or_else(|| layout.discovery_secret());
        let peers = self.named_peers().into_iter().map(|(flag, peer, kind)| {
            let named: PeerAddress = peer.parse().wrap_err_with(|| format!("{flag} {peer}"))?;
            Ok((named, kind))
        });
        Ok(NetworkConfig {
            listen: SocketAddr::new(self.addr, self.port),
            external: self.external()?,
            key: NodeKey::load_or_create(&key).wrap_err("--p2p-secret-key")?,
            agent: concat!("tributary/v", env!("CARGO_PKG_VERSION")).to_owned(),
            limits: PeerLimits {
                inbound: limit(self.max_inbound_peers, defaults.inbound),
                outbound: limit(self.max_outbound_peers, defaults.outbound),
                ..defaults
            },
            peers: peers.collect::<Result<_>>()?,
            signer: self.unsafe_block_signer,
            publish: self.sequencer_key.clone(),
        })
    }

    fn external(&self) -> Result<Option<IpAddr>> {
        match self.nat.split_once(':') {
            Some(("extip", ip)) => {
                ip.parse().map(Some).map_err(|_| eyre!("--nat extip:{ip}: not an IP address"))
            }
            _ if self.nat != "none" && self.addr.is_unspecified() => Ok(outward()),
            _ => Ok(None),
        }
    }
}

/// The address of the interface that the default route leaves by. Nothing is sent; without a route there is none.
fn outward() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((ANYWHERE, 9)).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

/// An address of nobody (RFC 5737).
const ANYWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
