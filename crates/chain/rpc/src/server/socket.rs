//! The listening socket, and what its connections inherit.

use crate::ServerLimits;
use jsonrpsee::server::PingConfig;
use std::{io, net::SocketAddr};

/// Messages that wait in one WebSocket connection's queue; whoever writes more of them waits himself.
pub(super) const QUEUE: u32 = 64;

/// Listens. A peer that takes nothing of what was sent to it, or does not acknowledge it, loses its connection after a
/// time: what was to be sent is kept for so long, and a server that writes to such a peer cannot notice it otherwise.
pub(super) async fn listen(address: SocketAddr, limits: &ServerLimits) -> io::Result<std::net::TcpListener> {
    let listener = tokio::net::TcpListener::bind(address).await?.into_std()?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(&listener).set_tcp_user_timeout(Some(limits.stall_timeout))?;
    Ok(listener)
}

/// Pings for WebSocket peers: one that is silent for a third longer than their interval is gone.
pub(super) fn pings(limits: &ServerLimits) -> PingConfig {
    let interval = limits.ping_interval;
    PingConfig::new().ping_interval(interval).inactive_limit(interval + interval / 3)
}
