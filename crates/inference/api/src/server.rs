//! Routes and layers.

use crate::{
    config::ApiConfig,
    error::ApiError,
    extract::Authorized,
    handlers::{
        chat_completions, completions, detokenize, embeddings, health, list_models, load_adapter, metrics,
        show_model, tokenize, unload_adapter, version,
    },
    seats::Seat,
    service::Api,
};
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderName, HeaderValue, Method, header};
use std::sync::Arc;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowHeaders, Any, CorsLayer},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Api {
    /// Every route, with limits and layers.
    pub fn router(&self) -> Router {
        let open = Router::new()
            .route("/health", get(health))
            .route("/metrics", get(metrics))
            .route("/version", get(version));
        let models = Router::new()
            .route("/v1/models", get(list_models))
            .route("/v1/models/{*id}", get(show_model))
            .route_layer(middleware::from_extractor_with_state::<Authorized, Self>(self.clone()));
        let calls = Router::new()
            .route("/v1/chat/completions", post(chat_completions))
            .route("/v1/completions", post(completions))
            .route("/v1/embeddings", post(embeddings))
            .route("/tokenize", post(tokenize))
            .route("/detokenize", post(detokenize));
        let admin = Router::new()
            .route("/v1/load_lora_adapter", post(load_adapter))
            .route("/v1/unload_lora_adapter", post(unload_adapter));
        open.merge(admin)
            .merge(models)
            .merge(calls)
            .fallback(async || ApiError::NoEndpoint)
            .method_not_allowed_fallback(async || ApiError::Method)
            .layer(DefaultBodyLimit::max(self.config().body_bytes))
            .layer(CatchPanicLayer::custom(|_| {
                tracing::error!("A handler panicked");
                ApiError::Internal("internal error".into()).into_response()
            }))
            .layer(middleware::from_fn(seated))
            .layer(cors(self.config()))
            .layer(middleware::from_fn_with_state(self.clone(), observe))
            .with_state(self.clone())
    }
}

/// Has a call wait for its connection's place. Who calls without a listener has one.
async fn seated(request: Request, next: Next) -> Response {
    if let Some(seat) = request.extensions().get::<Arc<Seat>>().cloned()
        && let Err(error) = seat.admit(request.uri().path()).await
    {
        return error.into_response();
    }
    next.run(request).await
}

/// Gives every call an id and counts it.
async fn observe(State(_api): State<Api>, request: Request, next: Next) -> Response {
    let path = known_path(request.uri().path());
    let id = request.headers().get(&REQUEST_ID).filter(|id| id.len() <= 128).cloned();
    let id = id.unwrap_or_else(fresh_id);
    let mut response = next.run(request).await;
    let status = response.status();
    ::metrics::counter!("tributary:http_requests_total", "path" => path, "status" => status.as_u16().to_string())
        .increment(1);
    tracing::debug!(path, status = status.as_u16(), "API request");
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn fresh_id() -> HeaderValue {
    let id = format!("req-{:032x}", rand::random::<u128>());
    HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("req"))
}

/// What operators ask of a node, also of one that has all the connections it takes.
pub(crate) fn is_of_operators(path: &str) -> bool {
    matches!(path, "/health" | "/metrics" | "/version")
}

/// Paths as metrics know them: strangers' paths make no new series.
fn known_path(path: &str) -> &'static str {
    const PATHS: [&str; 11] = [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/load_lora_adapter",
        "/v1/unload_lora_adapter",
        "/v1/models",
        "/tokenize",
        "/detokenize",
        "/health",
        "/metrics",
        "/version",
    ];
    PATHS.into_iter().find(|known| *known == path).unwrap_or("other")
}

fn cors(config: &ApiConfig) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST])
        // Not `*`, which browsers do not take for `authorization`.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([REQUEST_ID, header::RETRY_AFTER]);
    if config.cors.iter().any(|origin| origin == "*") {
        return layer.allow_origin(Any);
    }
    let origins: Vec<HeaderValue> = config.cors.iter().filter_map(|origin| origin.parse().ok()).collect();
    layer.allow_origin(origins)
}
