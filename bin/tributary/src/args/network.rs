//! `--addr`, `--port`, discovery and peers, as reth spells them.

use std::{net::IpAddr, path::PathBuf};

use clap::Args;

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

    /// How the address that peers see is found: `any`, `none`, `upnp`, `publicip`, `extip:<IP>`.
    #[arg(long, default_value = "any")]
    pub(crate) nat: String,

    /// File of the key that this node is known by. Made if it is missing. Default: `discovery-secret` in the datadir.
    #[arg(long = "p2p-secret-key", value_name = "PATH")]
    pub(crate) p2p_secret_key: Option<PathBuf>,

    /// Peers to start from, as enode URLs.
    #[arg(long, value_delimiter = ',', value_name = "ENODES")]
    pub(crate) bootnodes: Vec<String>,

    /// Peers to stay connected to, as enode URLs.
    #[arg(long, value_delimiter = ',', value_name = "ENODES")]
    pub(crate) trusted_peers: Vec<String>,

    /// Most peers that this node calls.
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_outbound_peers: Option<usize>,

    /// Most peers that call this node.
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_inbound_peers: Option<usize>,

    /// Let the system choose every port that has a flag.
    #[arg(long)]
    pub(crate) with_unused_ports: bool,
}
