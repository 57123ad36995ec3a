//! The listening socket and its connections: served over HTTP/1.1 and as WebSockets, and ended if their peers take nothing of what is
//! sent to them.
//!
//! jsonrpsee's own server takes no streams but the system's, and speaks HTTP/2, too: there a peer leaves answers lying by opening no
//! window for them, and nothing waits to be written that a clock could be set for.

use crate::ServerLimits;
use futures::future::pending;
use http::Request;
use hyper::{
    body::{Body, Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use jsonrpsee::{
    core::BoxError,
    server::{HttpBody, HttpRequest, HttpResponse, PingConfig, ServerHandle, StopHandle, stop_channel},
};
use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::timeout,
};
use tower::{Service, ServiceExt};
use tributary_io::{Unread, accept};

/// Messages that wait in one WebSocket connection's queue; whoever writes more of them waits himself.
pub(super) const QUEUE: u32 = 64;

/// How long the first request of a connection may take to come.
const FIRST_REQUEST: Duration = Duration::from_secs(30);

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    stall_timeout: Duration,
}

impl Listener {
    /// Listens. A peer that takes nothing of what was sent to it for a time loses its connection: what was to be sent is kept for so long,
    /// and a server that writes to such a peer cannot notice it otherwise. The same for one that acknowledges nothing, which the system
    /// sees, even where nothing is left here to be written.
    pub async fn bind(address: SocketAddr, stall_timeout: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        #[cfg(target_os = "linux")]
        socket2::SockRef::from(&listener).set_tcp_user_timeout(Some(stall_timeout))?;
        Ok(Self { listener, stall_timeout })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves each connection by a service of its own until the handle says stop, or is dropped.
    pub fn serve<S, B>(self, service: impl Fn(StopHandle) -> S + Send + 'static) -> ServerHandle
    where
        S: Service<HttpRequest, Response = HttpResponse<B>, Error = BoxError> + Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (stop, handle) = stop_channel();
        tokio::spawn(async move {
            let mut stopped = pin!(stop.clone().shutdown());
            loop {
                let (stream, peer) = tokio::select! {
                    accepted = accept(&self.listener) => accepted,
                    () = &mut stopped => break,
                };
                let connection =
                    connection(stream, self.stall_timeout, service(stop.clone()), stop.clone().shutdown());
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(target: "rpc", %peer, %error, "Connection ended");
                    }
                });
            }
        });
        handle
    }
}

/// Serves one connection to its end, or to the end of the answers under way when the server stops.
async fn connection<S, B>(
    stream: TcpStream,
    stall_timeout: Duration,
    service: S,
    stopped: impl Future<Output = ()>,
) -> Result<(), BoxError>
where
    S: Service<HttpRequest, Response = HttpResponse<B>, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    stream.set_nodelay(true)?;
    let stream = TokioIo::new(Unread::new(stream, stall_timeout));
    let asked = Arc::new(Notify::new());
    let first = Arc::clone(&asked);
    let answer = service_fn(move |request: Request<Incoming>| {
        first.notify_one();
        service.clone().oneshot(request.map(HttpBody::new))
    });
    let mut served = pin!(http1::Builder::new().serve_connection(stream, answer).with_upgrades());
    tokio::select! {
        ended = &mut served => return Ok(ended?),
        () = stopped => {}
        () = silence(&asked) => return Err("no request came".into()),
    }
    served.as_mut().graceful_shutdown();
    Ok(served.await?)
}

/// Resolves if no first request comes in time.
async fn silence(asked: &Notify) {
    if timeout(FIRST_REQUEST, asked.notified()).await.is_ok() {
        pending().await
    }
}

/// Pings for WebSocket peers: one that is silent for a third longer than their interval is gone.
pub(super) fn pings(limits: &ServerLimits) -> PingConfig {
    let interval = limits.ping_interval;
    PingConfig::new().ping_interval(interval).inactive_limit(interval + interval / 3)
}
