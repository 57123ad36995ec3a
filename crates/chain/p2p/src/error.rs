//! What can go wrong.

use tributary_tree::TreeError;

/// The network does not start, or a request to a peer fails.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The file with the key of the node: what was tried with it, where it is, and why that failed.
    #[error("cannot {0} the node's key {1}: {2}")]
    KeyFile(&'static str, String, String),
    /// Somebody named a peer in a way that is not understood.
    #[error("peer address: {0}")]
    Address(String),
    /// The port is taken, or the like.
    #[error("cannot listen for peers on {0}: {1}")]
    Listen(std::net::SocketAddr, String),
    /// libp2p refuses the configuration.
    #[error("peer-to-peer network: {0}")]
    Setup(String),
    /// The network was shut down.
    #[error("the peer-to-peer network has ended")]
    Ended,
    /// A peer did not answer, or not in time.
    #[error("request to peer failed: {0}")]
    Request(String),
    /// A peer does not have what was asked for, which is no fault.
    #[error("peer has no such block: {0}")]
    NotThere(String),
    /// A peer answered what cannot be true.
    #[error("peer misbehaved: {0}")]
    Misbehaved(String),
    /// The chain.
    #[error(transparent)]
    Chain(#[from] TreeError),
}
