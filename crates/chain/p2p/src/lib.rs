#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod admin;
mod behaviour;
mod by_number;
mod error;
mod fetch;
mod follow;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gossip;
mod identity;
mod limiter;
mod metrics;
mod network;
mod payload;
mod peers;
mod range;
mod serve;
mod service;
mod sync;

pub use admin::{AdminApiServer, AdminMethods, NodeInfo, PeerInfo, PeerNetwork, Ports};
pub use behaviour::PeerLimits;
pub use error::NetworkError;
pub use gossip::SequencerKey;
pub use identity::{Enode, NodeKey, NodePublicKey, PeerAddress};
pub use network::{ConnectedPeer, Network, NetworkConfig};
pub use peers::{Link, Peer, PeerKind};
