//! The listening socket and its connections: so many at a time, served over HTTP/1.1 and as WebSockets, and ended if their peers ask
//! for nothing, or take nothing of what is sent to them.
//!
//! jsonrpsee's own server takes no streams but the system's, and speaks HTTP/2, too: there a peer leaves answers lying by opening no
//! window for them, and nothing waits to be written that a clock could be set for.

use super::backlog::{Backlog, BacklogLayer, Backlogs, Listened};
use crate::ServerLimits;
use futures::{TryFutureExt, future::pending};
use http::{HeaderValue, Request, StatusCode, header::CONNECTION};
use hyper::{
    body::{Body, Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonrpsee::{
    core::BoxError,
    server::{HttpBody, HttpRequest, HttpResponse, PingConfig, ServerHandle, StopHandle, stop_channel},
};
use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tower::{Service, ServiceExt};
use tributary_io::{Unread, accept, expect_reading};

/// Messages that wait in one WebSocket connection's queue; whoever writes more of them waits himself.
pub(super) const QUEUE: u32 = 64;

/// How long the first request of a connection may take to come.
const FIRST_REQUEST: Duration = Duration::from_secs(30);
/// How long any later one may, as in geth.
const IDLE: Duration = Duration::from_secs(120);
/// Open connections for each request that may be under way at a time: what is limited otherwise is requests, and an idle connection
/// has none.
const CONNECTIONS_PER_REQUEST: usize = 8;
/// How long requests that are under way when the server stops may take.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    stall_timeout: Duration,
    places: Arc<Semaphore>,
}

impl Listener {
    /// Listens, for `requests` at a time. A peer that takes nothing of what was sent to it for a time loses its connection: what was to be
    /// sent is kept for so long, and a server that writes to such a peer cannot notice it otherwise. The same for one that acknowledges
    /// nothing, which the system sees, even where nothing is left here to be written.
    pub async fn bind(address: SocketAddr, requests: u32, stall_timeout: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        #[cfg(target_os = "linux")]
        socket2::SockRef::from(&listener).set_tcp_user_timeout(Some(stall_timeout))?;
        expect_reading(&listener)?;
        let places = (requests as usize).saturating_mul(CONNECTIONS_PER_REQUEST);
        let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Ok(Self { listener, stall_timeout, places })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves each connection by a service of its own until the handle says stop, or is dropped. The layer goes right around the methods.
    pub fn serve<S, B>(self, service: impl Fn(StopHandle, BacklogLayer) -> S + Send + 'static) -> ServerHandle
    where
        S: Service<HttpRequest, Response = HttpResponse<B>, Error = BoxError> + Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (stop, handle) = stop_channel();
        tokio::spawn(async move {
            let mut stopped = pin!(stop.clone().shutdown());
            let backlogs: Arc<Backlogs> = Arc::default();
            loop {
                let (stream, peer) = tokio::select! {
                    accepted = accept(&self.listener) => accepted,
                    () = &mut stopped => break,
                };
                let Some(place) = self.place() else { continue };
                let backlog = Backlog::new(&backlogs);
                let service = service(stop.clone(), BacklogLayer(Arc::clone(&backlog)));
                let connection =
                    connection(stream, self.stall_timeout, backlog, service, stop.clone().shutdown());
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(target: "rpc", %peer, %error, "Connection ended");
                    }
                    drop(place);
                });
            }
            // Before whoever waits for the end hears of it.
            drop(self);
        });
        handle
    }

    /// A place for one more connection; where there is none, it is closed, so that descriptors are left for the chain's own files.
    fn place(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        if place.is_none() {
            tracing::debug!(target: "rpc", "Connection refused: too many are open");
        }
        place
    }
}

/// Serves one connection to its end, or to the end of the answers under way when the server stops.
async fn connection<S, B>(
    stream: TcpStream,
    stall_timeout: Duration,
    backlog: Arc<Backlog>,
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
    let stream = TokioIo::new(Listened::new(Unread::new(stream, stall_timeout), backlog));
    let asked = Arc::new(Notify::new());
    let first = Arc::clone(&asked);
    let answer = service_fn(move |request: Request<Incoming>| {
        first.notify_one();
        service.clone().oneshot(request.map(HttpBody::new)).map_ok(last_if_refused)
    });
    let mut http = http1::Builder::new();
    // Who has said all that he wants to say may still want to hear the answer.
    http.timer(TokioTimer::new()).header_read_timeout(IDLE).half_close(true);
    let mut served = pin!(http.serve_connection(stream, answer).with_upgrades());
    tokio::select! {
        ended = &mut served => return Ok(ended?),
        () = stopped => {}
        () = silence(&asked) => return Err("no request came".into()),
    }
    served.as_mut().graceful_shutdown();
    // Whoever is in the middle of a request would hold the server open for as long as he likes.
    Ok(timeout(LAST_ANSWERS, served).await.map_err(|_| "cut off by the stop")??)
}

/// Whoever is refused does not keep his connection: it would take somebody else's place.
fn last_if_refused<B>(mut answer: HttpResponse<B>) -> HttpResponse<B> {
    if matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS) {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
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
