//! The authenticated port: HTTP and WebSocket, each request or handshake with a token.
//!
//! ```text
//! TCP, whose peers have to read ─► token ─► whole body, in time ─► jsonrpsee ─► meter ─► batches ─► methods
//! ```

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::{Either, Ready, ready};
use http::{
    HeaderValue, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use jsonrpsee::{
    Methods,
    core::{RegisterMethodError, middleware::RpcServiceBuilder},
    server::{BatchRequestConfig, HttpBody, HttpRequest, HttpResponse, ServerConfig, ServerHandle},
};
use tower::{Layer, Service};
use tributary_rpc::{
    BatchLayer, BodyLayer, Listener, MeterLayer, Modules, Namespace, Namespaces, ServerError, ServerLimits,
    SubscriptionIds,
};

use crate::{Engine, EngineApiServer, JwtSecret, head::HeadApiServer};

/// Largest request: a payload of the largest block, in hex, many times over.
const MAX_REQUEST: u32 = 128 << 20;
/// Largest answer.
const MAX_RESPONSE: u32 = 256 << 20;
/// Connections at a time.
const MAX_CONNECTIONS: u32 = 128;

/// What is served beside `engine_*`: a rollup node has no other endpoint of this client.
const NAMESPACES: [Namespace; 5] =
    [Namespace::Eth, Namespace::Net, Namespace::Web3, Namespace::Debug, Namespace::Miner];

/// Where, and to whom.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// `--authrpc.addr`, `--authrpc.port`; port 0 lets the system choose.
    pub address: SocketAddr,
    /// `--authrpc.jwtsecret`.
    pub secret: JwtSecret,
    /// How long a request's body may take to arrive.
    pub body_timeout: Duration,
    /// How long a peer may take nothing of what is sent to it.
    pub stall_timeout: Duration,
}

impl AuthConfig {
    /// With the patience that the other servers have.
    pub fn new(address: SocketAddr, secret: JwtSecret) -> Self {
        let ServerLimits { body_timeout, stall_timeout, .. } = ServerLimits::default();
        Self { address, secret, body_timeout, stall_timeout }
    }
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthServerError {
    /// The socket could not be opened.
    #[error("cannot listen on {address} (--authrpc.addr, --authrpc.port): {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Methods of one name.
    #[error(transparent)]
    Methods(#[from] RegisterMethodError),
    /// Methods of one name, or another fault of the other modules.
    #[error(transparent)]
    Modules(#[from] ServerError),
}

/// The running server. It stops when this is dropped or [`stop`](Self::stop) is called.
#[derive(Debug)]
pub struct AuthServer {
    address: SocketAddr,
    server: ServerHandle,
}

impl AuthServer {
    /// Serves an engine, and what a rollup node reads of the other modules.
    pub async fn launch(
        config: AuthConfig,
        engine: Engine,
        modules: &Modules,
    ) -> Result<Self, AuthServerError> {
        let listen = |source| AuthServerError::Listen { address: config.address, source };
        let mut methods: Methods = modules.select(&Namespaces::from_iter(NAMESPACES))?;
        methods.merge(HeadApiServer::into_rpc(engine.clone()))?;
        methods.merge(EngineApiServer::into_rpc(engine))?;
        let methods = BatchLayer::prepare(&methods)?;
        let bodies = BodyLayer::new(&ServerLimits {
            max_request_size: MAX_REQUEST,
            body_timeout: config.body_timeout,
            ..ServerLimits::default()
        });
        let limits = ServerConfig::builder()
            .max_connections(MAX_CONNECTIONS)
            .max_request_body_size(MAX_REQUEST)
            .max_response_body_size(MAX_RESPONSE)
            .set_batch_request_config(BatchRequestConfig::Limit(ServerLimits::default().max_batch_size))
            .set_id_provider(SubscriptionIds)
            .build();
        let listener =
            Listener::bind(config.address, MAX_CONNECTIONS, config.stall_timeout).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let service = jsonrpsee::server::Server::builder()
            .set_config(limits)
            .set_http_middleware(tower::ServiceBuilder::new().layer(AuthLayer(config.secret)).layer(bodies))
            .to_service_builder();
        let layers = RpcServiceBuilder::new().layer(MeterLayer::new(&methods, "auth")).layer(BatchLayer);
        let server = listener.serve(move |stop, backlog| {
            let layers = layers.clone().layer(backlog);
            service.clone().set_rpc_middleware(layers).build(methods.clone(), stop)
        });
        tracing::info!(target: "engine", url = %address, "RPC auth server started");
        Ok(Self { address, server })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, and waits until open requests are answered.
    pub async fn stop(self) {
        if self.server.stop().is_ok() {
            self.server.stopped().await;
        }
    }
}

/// Lets nobody pass without a token.
#[derive(Debug, Clone)]
struct AuthLayer(JwtSecret);

#[derive(Debug, Clone)]
struct AuthService<S> {
    inner: S,
    secret: JwtSecret,
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthService { inner, secret: self.0.clone() }
    }
}

impl<S, B> Service<HttpRequest<B>> for AuthService<S>
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
        let header = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        match self.secret.check_header(header) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(error) => {
                tracing::warn!(target: "engine", %error, "Unauthorized call of the auth server");
                let mut refusal = HttpResponse::new(HttpBody::from(format!("{error}\n")));
                *refusal.status_mut() = StatusCode::UNAUTHORIZED;
                refusal.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
                Either::Right(ready(Ok(refusal)))
            }
        }
    }
}
