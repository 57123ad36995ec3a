//! Refuses WebSocket connections of foreign web pages.
//!
//! A browser asks for no CORS permission before it opens a WebSocket: it says which page asks, and leaves it to the server
//! to refuse. Other clients send no `Origin`, or whichever they like: this protects the users of browsers, not the server.

use crate::CorsDomains;
use futures::future::{Either, Ready, ready};
use http::{HeaderMap, StatusCode, header::ORIGIN};
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse, ws::is_upgrade_request};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Layer, Service};

/// The layer.
#[derive(Clone, Debug)]
pub(crate) struct OriginLayer(pub(crate) Arc<CorsDomains>);

/// The service around another one.
#[derive(Clone, Debug)]
pub(crate) struct OriginService<S> {
    inner: S,
    origins: Arc<CorsDomains>,
}

impl<S> Layer<S> for OriginLayer {
    type Service = OriginService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OriginService { inner, origins: self.0.clone() }
    }
}

impl<S, B> Service<HttpRequest<B>> for OriginService<S>
where
    S: Service<HttpRequest<B>, Response = HttpResponse>,
{
    type Response = HttpResponse;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<HttpResponse, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        if !is_upgrade_request(&request) || admits(&self.origins, request.headers()) {
            return Either::Left(self.inner.call(request));
        }
        let mut refusal = HttpResponse::new(HttpBody::from("origin not allowed\n"));
        *refusal.status_mut() = StatusCode::FORBIDDEN;
        Either::Right(ready(Ok(refusal)))
    }
}

fn admits(origins: &CorsDomains, headers: &HeaderMap) -> bool {
    headers.get_all(ORIGIN).iter().all(|origin| origins.admits_socket(origin))
}
