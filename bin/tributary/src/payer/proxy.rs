//! A local OpenAI endpoint that signs the vouchers, so that unmodified clients pay for each request.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, HeaderName, Method, StatusCode},
    response::{IntoResponse, Response},
    routing::any,
};
use eyre::{Context, Result};
use futures::{StreamExt, stream};
use serde_json::json;
use tokio::net::TcpListener;

use super::{Payer, watch::ReceiptWatch};

/// Largest body that is passed on.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// Request headers that are passed on.
const PASSED: [&str; 3] = ["authorization", "accept", "x-request-id"];

/// Serves until the process ends; tells `ready` where.
pub(crate) async fn serve_proxy(
    payer: Arc<Payer>,
    address: SocketAddr,
    ready: impl FnOnce(SocketAddr),
) -> Result<()> {
    let listener =
        TcpListener::bind(address).await.wrap_err_with(|| format!("cannot listen on {address}"))?;
    ready(listener.local_addr()?);
    let router =
        Router::new().route("/{*path}", any(pass)).layer(DefaultBodyLimit::max(MAX_BODY)).with_state(payer);
    Ok(axum::serve(listener, router).await?)
}

async fn pass(
    State(payer): State<Arc<Payer>>,
    Path(path): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = format!("/{path}");
    let passed: Vec<(String, String)> = PASSED
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), headers.get(*name)?.to_str().ok()?.to_owned())))
        .collect();
    let answer = if method == Method::POST {
        payer.post_through(&path, body.to_vec(), passed).await
    } else {
        payer.get_through(&path, passed).await.map(|response| (response, None))
    };
    match answer {
        Ok((response, watch)) => relay(response, watch),
        Err(failure) if failure.downcast_ref::<reqwest::Error>().is_some() => {
            refuse(StatusCode::BAD_GATEWAY, "api_error", "upstream_unreachable", &failure)
        }
        Err(failure) => refuse(StatusCode::PAYMENT_REQUIRED, "payment_required", "payment_failed", &failure),
    }
}

/// Passes an answer back as it comes, looking out for its receipt.
fn relay(response: reqwest::Response, watch: Option<ReceiptWatch>) -> Response {
    let mut relayed = Response::builder().status(response.status().as_u16());
    for name in ["content-type", "x-request-id", "retry-after"] {
        if let (Ok(key), Some(value)) = (HeaderName::try_from(name), response.headers().get(name)) {
            relayed = relayed.header(key, value.as_bytes());
        }
    }
    let chunks = response.bytes_stream();
    let watched = stream::unfold((chunks, watch), |(mut chunks, mut watch)| async {
        let next = chunks.next().await;
        match (&next, &mut watch) {
            (Some(Ok(chunk)), Some(watch)) => watch.feed(chunk),
            (None, _) => {
                if let Some(watch) = watch.take() {
                    watch.finish().await;
                }
            }
            _ => {}
        }
        next.map(|chunk| (chunk, (chunks, watch)))
    });
    relayed.body(Body::from_stream(watched)).unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
}

/// Why there is no answer, in the shape OpenAI's clients expect.
fn refuse(status: StatusCode, kind: &str, code: &str, failure: &eyre::Report) -> Response {
    let message = format!("{failure:#}");
    let body = json!({"error": {"message": message, "type": kind, "param": null, "code": code}});
    (status, axum::Json(body)).into_response()
}
