//! The listening socket: so many connections at a time, and none that keeps its place without asking for something, or without
//! reading what it is answered.
//!
//! ```text
//! accept ─▶ seat ─▶ head, in time ─▶ router ─▶ answer ─┐
//!                      ▲                               │
//!                      └───────── keep-alive ──────────┘
//! ```

use crate::{
    seats::{Seat, Seats},
    service::Api,
};
use axum::{Router, body::Body, extract::ConnectInfo, response::Response};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use std::{convert::Infallible, future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tower::ServiceExt;
use tributary_io::{Unread, accept, expect_reading};

/// Time to receive a head at the door.
const DOOR_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves until `shutdown` resolves, then lets open replies finish.
pub async fn serve(
    listener: TcpListener,
    api: Api,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    expect_reading(&listener)?;
    let seats = Seats::new(api.config());
    let (header_timeout, unread_timeout) = (api.config().header_timeout, api.config().unread_timeout);
    let (router, open) = (api.router(), GracefulShutdown::new());
    let mut shutdown = pin!(shutdown);
    loop {
        let next = async {
            let accepted = accept(&listener).await;
            Ok::<_, io::Error>((accepted, seats.take().await?))
        };
        let ((stream, peer), seat) = tokio::select! {
            next = next => next?,
            () = &mut shutdown => break,
        };
        let (router, seated) = (router.clone(), Arc::clone(&seat));
        let answer = service_fn(move |request| answer(router.clone(), Arc::clone(&seated), request, peer));
        let stream = TokioIo::new(Unread::new(stream, unread_timeout));
        let connection = open.watch(protocol(&seat, header_timeout).serve_connection(stream, answer));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "API connection ended");
            }
            drop(seat);
        });
    }
    drop(listener);
    open.shutdown().await;
    Ok(())
}

/// How a connection is spoken to.
fn protocol(seat: &Seat, header_timeout: Duration) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(header_timeout);
    if seat.is_at_the_door() {
        http.header_read_timeout(header_timeout.min(DOOR_TIMEOUT)).keep_alive(false);
    }
    http
}

async fn answer(
    router: Router,
    seat: Arc<Seat>,
    mut request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    request.extensions_mut().insert(seat);
    router.oneshot(request.map(Body::new)).await
}
