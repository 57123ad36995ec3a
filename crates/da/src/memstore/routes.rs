//! Routes and status codes of the proxy in memstore mode.

use std::sync::Arc;

use alloy_primitives::{Bytes, hex, keccak256};
use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, Query, State as Shared},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    State,
    blobs::Stored,
    cert,
    commitment::{self, Asked, Mode, Refusal},
};

/// Largest body that is read.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// Largest control request.
const MAX_CONTROL: usize = 64 * 1024;

type App = Shared<Arc<State>>;

pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/put", post(disperse))
        .route("/put/", post(disperse_generic))
        .route("/put/{key}", post(put_keccak))
        .route("/get/{commitment}", get(retrieve))
        .route("/health", get(|| async { StatusCode::OK }))
        .route("/config", get(show_proxy_config))
        .route("/memstore/config", get(show_config).patch(change_config))
        .fallback(|| async { (StatusCode::NOT_FOUND, "404 page not found\n") })
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
}

#[derive(Deserialize)]
struct Options {
    commitment_mode: Option<String>,
    l1_inclusion_block_number: Option<String>,
    return_encoded_payload: Option<String>,
}

async fn disperse(state: App, Query(options): Query<Options>, body: Body) -> Response {
    put(&state, Mode::of(options.commitment_mode.as_deref()), body).await
}

/// With the trailing slash the query is not looked at.
async fn disperse_generic(state: App, body: Body) -> Response {
    put(&state, Mode::OpGeneric, body).await
}

async fn put(state: &State, mode: Mode, body: Body) -> Response {
    let Some(payload) = read(body, MAX_BODY).await else {
        return error(StatusCode::BAD_REQUEST, "http: request body too large");
    };
    let config = state.config.read().clone();
    if config.put_fails_over {
        return error(
            StatusCode::SERVICE_UNAVAILABLE,
            "memstore: Failover: ephemeral db in failover simulation mode",
        );
    }
    let blob = blob_length(payload.len());
    if blob > config.max_blob_size {
        let text = format!(
            "encoded blob is larger than max blob size: blob length {blob}, max blob size {}",
            config.max_blob_size
        );
        return error(StatusCode::BAD_REQUEST, &text);
    }
    tokio::time::sleep(config.put_latency).await;
    let rlp = cert::random_v4((blob / 32).try_into().unwrap_or(u32::MAX));
    let stored = match config.derivation_error {
        Some((code, message)) => Stored::Error(code, message),
        None => Stored::Payload(payload),
    };
    match state.blobs.put(cert::key(&rlp), stored, !config.expiration.is_zero()) {
        Ok(()) => octets(mode.commitment(&rlp)),
        Err(failure) => error(StatusCode::INTERNAL_SERVER_ERROR, &failure.to_string()),
    }
}

async fn put_keccak(Path(key): Path<String>, body: Body) -> Response {
    let digits = key.strip_prefix("0x").unwrap_or(&key);
    let wanted = digits.strip_prefix("00").and_then(|digits| hex::decode_to_array::<_, 32>(digits).ok());
    let Some(wanted) = wanted else { return error(StatusCode::NOT_FOUND, "404 page not found") };
    let Some(payload) = read(body, MAX_BODY).await else {
        return error(StatusCode::BAD_REQUEST, "http: request body too large");
    };
    if keccak256(&payload).0 != wanted {
        return error(StatusCode::BAD_REQUEST, "keccak commitment does not match the payload");
    }
    error(StatusCode::INTERNAL_SERVER_ERROR, "S3 is not configured")
}

async fn retrieve(state: App, Path(path): Path<String>, Query(options): Query<Options>) -> Response {
    let mode = Mode::of(options.commitment_mode.as_deref());
    let asked = match commitment::parse(&path, mode) {
        Ok(asked) => asked,
        Err(Refusal(status, text)) => return error(status, text),
    };
    let block = options.l1_inclusion_block_number.as_deref().unwrap_or_default();
    if !block.is_empty() && block.parse::<u64>().is_err() {
        return error(StatusCode::BAD_REQUEST, "l1_inclusion_block_number is no number");
    }
    let latency = state.config.read().get_latency;
    tokio::time::sleep(latency).await;
    let Asked::Certificate { version, rlp } = asked else {
        return error(StatusCode::INTERNAL_SERVER_ERROR, "S3 is not configured");
    };
    let encoded = matches!(options.return_encoded_payload.as_deref(), Some(value) if encoded_wanted(value));
    found(&state, version, &rlp, encoded)
}

fn encoded_wanted(value: &str) -> bool {
    value.is_empty() || value == "1" || value.eq_ignore_ascii_case("true")
}

fn found(state: &State, version: u8, rlp: &[u8], encoded: bool) -> Response {
    let unknown = "payload not found for key";
    let stored = match state.blobs.get(cert::key(rlp)) {
        Ok(Some(stored)) => stored,
        Ok(None) => return error(StatusCode::INTERNAL_SERVER_ERROR, unknown),
        Err(failure) => return error(StatusCode::INTERNAL_SERVER_ERROR, &failure.to_string()),
    };
    match (version, stored) {
        (cert::VERSION_V4, Stored::Payload(payload)) if encoded => octets(encode(&payload)),
        (cert::VERSION_V4, Stored::Payload(payload)) => octets(payload.to_vec()),
        (cert::VERSION_V4, Stored::Error(code, message)) => derivation(code, &message),
        // A V4 certificate under V3's byte is found and does not parse.
        (2, _) => derivation(1, "certificate does not parse"),
        _ => error(StatusCode::INTERNAL_SERVER_ERROR, unknown),
    }
}

/// The payload as it is laid into a blob: a header element, then 31 bytes to an element, padded to a power of two.
fn encode(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.resize(32, 0);
    for chunk in payload.chunks(31) {
        out.push(0);
        out.extend_from_slice(chunk);
        out.resize(out.len().next_multiple_of(32), 0);
    }
    out.resize(usize::try_from(blob_length(payload.len())).unwrap_or(out.len()).max(out.len()), 0);
    out
}

/// Length of the blob that holds a payload.
fn blob_length(payload: usize) -> u64 {
    let elements = 1 + payload.div_ceil(31) as u64;
    elements.next_power_of_two() * 32
}

async fn show_proxy_config(state: App) -> Response {
    let elements = state.config.read().max_blob_size / 32;
    let text = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "chain_id": "",
        "directory_address": "",
        "cert_verifier_address": "",
        "max_payload_size_bytes": elements.saturating_sub(1) * 31,
        "apis_enabled": ["standard", "op-generic"],
        "read_only_mode": false,
    });
    ([(CONTENT_TYPE, "application/json")], text.to_string()).into_response()
}

async fn show_config(state: App) -> Response {
    control(&state.config.read().to_json())
}

async fn change_config(state: App, body: Body) -> Response {
    let Some(body) = read(body, MAX_CONTROL).await else {
        return error(StatusCode::BAD_REQUEST, "http: request body too large");
    };
    // Text after the object is not looked at, as in the proxy.
    let first = serde_json::Deserializer::from_slice(&body).into_iter::<Value>().next();
    let mut config = state.config.write();
    match first {
        Some(Ok(Value::Null)) => {}
        Some(Ok(Value::Object(patch))) => {
            if let Err(text) = config.patch(&patch) {
                return error(StatusCode::BAD_REQUEST, &text);
            }
        }
        _ => return error(StatusCode::BAD_REQUEST, "not a JSON object"),
    }
    control(&config.to_json())
}

fn control(value: &Value) -> Response {
    (StatusCode::OK, format!("{value}\n")).into_response()
}

fn derivation(code: u8, message: &str) -> Response {
    let text = json!({"StatusCode": code, "Msg": message});
    (StatusCode::IM_A_TEAPOT, format!("{text}\n")).into_response()
}

fn error(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}

fn octets(bytes: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
}

async fn read(body: Body, limit: usize) -> Option<Bytes> {
    axum::body::to_bytes(body, limit).await.ok().map(Bytes::from)
}
