use crate::{
    error::{ApiError, Result},
    service::Api,
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde_json::json;
use tributary_engine::Status;

/// `GET /health`: 200 while serving, else 503 with the reason.
pub(crate) async fn health(State(api): State<Api>) -> Response {
    let engine = &api.parts.engine;
    let (serve, stalled) = engine.stalled(api.config().stall);
    let (code, status, reason) = match engine.status() {
        Status::Ready | Status::Degraded(_) if stalled > 0 && stalled == serve => {
            (StatusCode::SERVICE_UNAVAILABLE, "stalled", None)
        }
        Status::Ready | Status::Degraded(_) if stalled > 0 => {
            (StatusCode::OK, "degraded", Some(format!("{stalled} of {serve} engines stalled")))
        }
        Status::Ready => (StatusCode::OK, "ok", None),
        Status::Degraded(reason) => (StatusCode::OK, "degraded", Some(reason)),
        Status::Loading => (StatusCode::SERVICE_UNAVAILABLE, "loading", None),
        Status::Restarting(reason) => (StatusCode::SERVICE_UNAVAILABLE, "restarting", Some(reason)),
        Status::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining", None),
        Status::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopped", None),
        Status::Failed(reason) => (StatusCode::SERVICE_UNAVAILABLE, "failed", Some(reason)),
    };
    (code, Json(json!({ "status": status, "reason": reason }))).into_response()
}

/// `GET /metrics`, where the node serves them here as well.
pub(crate) async fn metrics(State(api): State<Api>) -> Result<Response> {
    let hook = api.parts.metrics.as_ref().ok_or(ApiError::NoEndpoint)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], api.shown(hook)).into_response())
}

/// `GET /version`
pub(crate) async fn version() -> Response {
    Json(json!({ "version": env!("CARGO_PKG_VERSION") })).into_response()
}
