//! The routes and their statuses.

use super::blobs::{Blobs, Found};
use super::certify::certificate;
use super::config::{MAX_BLOB, MemstoreConfig};
use super::hexpath::{BadPath, Wanted, wanted};
use crate::certificate::{VERSION_V3, VERSION_V4, outline};
use crate::proxy::MAX_PAYLOAD;
use alloy_primitives::{B256, keccak256};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Bodies above this are not read.
const MAX_BODY: usize = 16_777_216;
/// L1 blocks after which a certificate is too old to be included.
const RECENCY: u64 = 14_400;

/// What the routes share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Mutex<MemstoreConfig>,
    pub(super) blobs: Mutex<Blobs>,
}

/// All routes.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/put", post(put))
        .route("/put/", post(put_slash))
        .route("/put/{key}", post(put_keccak))
        .route("/get/{commitment}", get(fetch))
        .route("/health", get(|| async { StatusCode::OK }))
        .route("/config", get(proxy_config))
        .route("/memstore/config", get(memstore_config).patch(patch_config))
        .fallback(|| async { text(StatusCode::NOT_FOUND, "404 page not found\n") })
        .with_state(shared)
}

fn text(status: StatusCode, body: impl Into<String>) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body.into()).into_response()
}

async fn put(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery, body: Body) -> Response {
    let standard = parameter(query.as_deref(), "commitment_mode").as_deref() == Some("standard");
    store(&shared, standard, body).await
}

/// With a slash at its end the route knows one mode only.
async fn put_slash(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    store(&shared, false, body).await
}

async fn store(shared: &Shared, standard: bool, body: Body) -> Response {
    let Ok(payload) = axum::body::to_bytes(body, MAX_BODY).await else {
        return text(StatusCode::BAD_REQUEST, "http: request body too large\n");
    };
    let config = shared.config.lock().clone();
    if config.failover {
        let why = "put request failed: Failover: ephemeral db in failover simulation mode\n";
        return text(StatusCode::SERVICE_UNAVAILABLE, why);
    }
    let blob = blob_len(payload.len());
    if payload.len() > MAX_PAYLOAD || blob > config.max_blob {
        let why = format!(
            "encoded blob is larger than max blob size: blob length {blob}, max blob size {}\n",
            config.max_blob
        );
        return text(StatusCode::BAD_REQUEST, why);
    }
    tokio::time::sleep(config.put_latency.wait()).await;
    let rlp = certificate(blob / 32);
    let expires = config.expiration.0 != 0;
    let stored = shared.blobs.lock().put(keccak256(&rlp), payload, expires, config.derivation_error);
    if let Err(error) = stored {
        return text(StatusCode::INTERNAL_SERVER_ERROR, format!("put request failed: {error}\n"));
    }
    let head: &[u8] = if standard { &[VERSION_V4] } else { &[1, 0, VERSION_V4] };
    let commitment = [head, &rlp].concat();
    ([(header::CONTENT_TYPE, "application/octet-stream")], commitment).into_response()
}

async fn put_keccak(Path(key): Path<String>, body: Body) -> Response {
    let Ok(Wanted::Keccak) = wanted(&key, false) else {
        return text(StatusCode::NOT_FOUND, "404 page not found\n");
    };
    let Ok(payload) = axum::body::to_bytes(body, MAX_BODY).await else {
        return text(StatusCode::BAD_REQUEST, "http: request body too large\n");
    };
    let digits = key.strip_prefix("0x").unwrap_or(&key);
    if digits.get(2..).and_then(|key| key.parse::<B256>().ok()) != Some(keccak256(&payload)) {
        return text(StatusCode::BAD_REQUEST, "key is not the keccak256 of the body\n");
    }
    text(StatusCode::INTERNAL_SERVER_ERROR, "no S3 store is configured\n")
}

async fn fetch(
    State(shared): State<Arc<Shared>>,
    Path(commitment): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.as_deref();
    let standard = parameter(query, "commitment_mode").as_deref() == Some("standard");
    let wanted = match wanted(&commitment, standard) {
        Ok(wanted) => wanted,
        Err(BadPath::NoRoute) => return text(StatusCode::NOT_FOUND, "404 page not found\n"),
        Err(BadPath::Malformed(why)) => return text(StatusCode::BAD_REQUEST, format!("{why}\n")),
    };
    let Wanted::Certificate { version, rlp } = wanted else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "no S3 store is configured\n");
    };
    let included = match parameter(query, "l1_inclusion_block_number").filter(|number| !number.is_empty()) {
        None => 0,
        Some(number) => match number.parse::<u64>() {
            Ok(number) => number,
            Err(error) => {
                let why = format!("bad l1_inclusion_block_number {number:?}: {error}\n");
                return text(StatusCode::BAD_REQUEST, why);
            }
        },
    };
    if version > VERSION_V4 {
        return text(StatusCode::BAD_REQUEST, format!("unsupported certificate version {version}\n"));
    }
    if version < VERSION_V3 {
        let why = format!("certificate version {version} is not served\n");
        return text(StatusCode::INTERNAL_SERVER_ERROR, why);
    }
    let latency = shared.config.lock().get_latency.wait();
    tokio::time::sleep(latency).await;
    let found = shared.blobs.lock().get(keccak256(&rlp));
    answer(found, version, &rlp, included, encoded_wanted(query))
}

fn answer(found: Option<Found>, version: u8, rlp: &[u8], included: u64, encoded: bool) -> Response {
    let derivation = |code: u8, message: &str| {
        text(StatusCode::IM_A_TEAPOT, json!({ "StatusCode": code, "Msg": message }).to_string())
    };
    match found {
        None => text(StatusCode::INTERNAL_SERVER_ERROR, "payload not found for key\n"),
        Some(Found::Error(error)) => text(StatusCode::IM_A_TEAPOT, error.body()),
        Some(Found::Payload(payload)) => {
            let Some(outline) = outline(version, rlp) else {
                return derivation(1, "the certificate does not parse");
            };
            if included > 0 && included > outline.reference_block.saturating_add(RECENCY) {
                return derivation(2, "the certificate was included too late");
            }
            let body = if encoded { encode(&payload).into() } else { payload };
            ([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response()
        }
    }
}

async fn proxy_config(State(shared): State<Arc<Shared>>) -> Response {
    let largest = shared.config.lock().max_blob.clamp(32, MAX_BLOB);
    let body = json!({
        "version": concat!("tributary-memstore-", env!("CARGO_PKG_VERSION")),
        "chain_id": "",
        "directory_address": "",
        "cert_verifier_address": "",
        "max_payload_size_bytes": (largest / 32 - 1) * 31,
        "apis_enabled": ["standard", "op-generic"],
        "read_only_mode": false,
    });
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

async fn memstore_config(State(shared): State<Arc<Shared>>) -> Response {
    text(StatusCode::OK, shared.config.lock().to_json())
}

async fn patch_config(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    let Ok(body) = axum::body::to_bytes(body, 64 * 1024).await else {
        return text(StatusCode::BAD_REQUEST, "http: request body too large\n");
    };
    let mut config = shared.config.lock();
    match config.patch(&body) {
        Ok(()) => text(StatusCode::OK, config.to_json()),
        Err(why) => text(StatusCode::BAD_REQUEST, format!("{why}\n")),
    }
}

/// The first value of a query parameter, percent-decoded.
fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = url::form_urlencoded::parse(query?.as_bytes());
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn encoded_wanted(query: Option<&str>) -> bool {
    parameter(query, "return_encoded_payload")
        .is_some_and(|value| value.is_empty() || value == "1" || value.eq_ignore_ascii_case("true"))
}

/// Bytes of the blob that holds a payload: a header element, 31 payload bytes an element, a power of two.
fn blob_len(payload: usize) -> u64 {
    (1 + payload.div_ceil(31) as u64).next_power_of_two() * 32
}

/// The payload as it stands in its blob, before the polynomial is interpolated.
fn encode(payload: &[u8]) -> Vec<u8> {
    let mut encoded = vec![0u8; 32];
    encoded[2..6].copy_from_slice(&(payload.len() as u32).to_be_bytes());
    for chunk in payload.chunks(31) {
        encoded.push(0);
        encoded.extend_from_slice(chunk);
    }
    encoded.resize(blob_len(payload.len()) as usize, 0);
    encoded
}

/// Drops expired blobs twice a second. A server that starts without an expiration never does.
pub(super) async fn sweep(shared: Arc<Shared>) {
    if shared.config.lock().expiration.0 == 0 {
        return;
    }
    let mut clock = tokio::time::interval(Duration::from_millis(500));
    loop {
        clock.tick().await;
        let expiration = shared.config.lock().expiration.wait();
        shared.blobs.lock().sweep(expiration);
    }
}
