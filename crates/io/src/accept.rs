//! Connections as they come, what the system says instead, and how much it keeps for them.

use std::{io, net::SocketAddr, time::Duration};
use tokio::net::{TcpListener, TcpStream};

/// The longest pause after the system refused a connection, for want of file descriptors mostly.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Bytes of a connection that the system keeps and has not sent.
const UNSENT: u32 = 128 << 10;

/// Has the system keep little for the connections of a listener. It calls a connection writable once a third of what it keeps has gone,
/// megabytes where there is no bound, and a peer that reads steadily but slowly seems to read nothing until then.
pub fn expect_reading(listener: &TcpListener) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(listener).set_tcp_notsent_lowat(UNSENT)?;
    Ok(())
}

/// The next connection. What fails is tried again: a client that went away at once, later a system that has no room.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut pause = Duration::from_millis(10);
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                let address = listener.local_addr().map(tracing::field::display).ok();
                tracing::warn!(address, %error, ?pause, "Connections cannot be accepted");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
