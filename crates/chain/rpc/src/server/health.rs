//! `GET /health`: what a load balancer asks.

use crate::RpcContext;
use alloy_consensus::BlockHeader;
use futures::future::{Either, Ready, ready};
use http::{HeaderValue, Method, header::CONTENT_TYPE};
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// The layer.
#[derive(Clone, Debug)]
pub(crate) struct HealthLayer(pub(crate) RpcContext);

/// The service around another one.
#[derive(Clone, Debug)]
pub(crate) struct HealthService<S> {
    inner: S,
    context: RpcContext,
}

impl<S> Layer<S> for HealthLayer {
    type Service = HealthService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HealthService { inner, context: self.0.clone() }
    }
}

impl<S, B> Service<HttpRequest<B>> for HealthService<S>
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
        if request.method() == Method::GET && request.uri().path() == "/health" {
            return Either::Right(ready(Ok(report(&self.context))));
        }
        Either::Left(self.inner.call(request))
    }
}

fn report(context: &RpcContext) -> HttpResponse {
    let head = context.chain.head();
    let body = serde_json::json!({
        "status": "ok",
        "chainId": format!("{:#x}", context.spec.chain_id()),
        "blockNumber": format!("{:#x}", head.number()),
        "blockHash": head.hash(),
        "blockTimestamp": format!("{:#x}", head.timestamp()),
    });
    let mut response = HttpResponse::new(HttpBody::from(body.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
