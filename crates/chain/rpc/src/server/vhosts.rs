//! Refuses requests that address this server by a foreign name.

use crate::VirtualHosts;
use futures::future::{Either, Ready, ready};
use http::{StatusCode, header::HOST};
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Layer, Service};

/// The layer.
#[derive(Clone, Debug)]
pub(crate) struct VirtualHostLayer(pub(crate) Arc<VirtualHosts>);

/// The service around another one.
#[derive(Clone, Debug)]
pub(crate) struct VirtualHostService<S> {
    inner: S,
    hosts: Arc<VirtualHosts>,
}

impl<S> Layer<S> for VirtualHostLayer {
    type Service = VirtualHostService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        VirtualHostService { inner, hosts: self.0.clone() }
    }
}

impl<S, B> Service<HttpRequest<B>> for VirtualHostService<S>
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
        let host = match request.headers().get(HOST) {
            Some(host) => host.to_str().ok(),
            None => request.uri().authority().map(|authority| authority.as_str()),
        };
        if host.is_some_and(|host| self.hosts.allows(host)) {
            return Either::Left(self.inner.call(request));
        }
        let mut refusal = HttpResponse::new(HttpBody::from("invalid host specified\n"));
        *refusal.status_mut() = StatusCode::FORBIDDEN;
        Either::Right(ready(Ok(refusal)))
    }
}
