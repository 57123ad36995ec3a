//! Starting and stopping.

use crate::{
    CorsDomains, EndpointConfig, Modules, Namespaces, RpcConfig, ServerLimits,
    server::{
        batch::BatchLayer,
        body::BodyLayer,
        health::HealthLayer,
        meter::MeterLayer,
        origins::OriginLayer,
        socket::{self, Listener},
        vhosts::VirtualHostLayer,
    },
};
use http::{Method, header::CONTENT_TYPE};
use jsonrpsee::{
    Methods,
    core::{RegisterMethodError, middleware::RpcServiceBuilder},
    server::{BatchRequestConfig, ServerConfig, ServerConfigBuilder, ServerHandle},
};
use std::{io, net::SocketAddr, sync::Arc};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

/// Why no server was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Another process has the port.
    #[error("address {address} is already in use by another process; choose another port with --{flag}.port")]
    AddressInUse {
        /// The address.
        address: SocketAddr,
        /// `http` or `ws`.
        flag: &'static str,
    },
    /// The socket could not be opened for another reason.
    #[error("cannot listen on {address} (--{flag}.addr, --{flag}.port): {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// `http` or `ws`.
        flag: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// One address for two servers that are configured differently.
    #[error("--http and --ws share {0} and must have the same API, CORS and vhost settings")]
    Conflict(SocketAddr),
    /// Two methods of one name.
    #[error(transparent)]
    Methods(#[from] RegisterMethodError),
}

/// What a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Http,
    Ws,
    Both,
}

impl Transport {
    const fn flag(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Http | Self::Both => "http",
        }
    }
}

/// Running servers. They stop when this is dropped or [`stop`](Self::stop) is called.
#[derive(Debug)]
pub struct RpcHandle {
    http: Option<SocketAddr>,
    ws: Option<SocketAddr>,
    servers: Vec<ServerHandle>,
}

impl RpcHandle {
    /// Starts what is configured.
    pub async fn launch(config: &RpcConfig, modules: &Modules) -> Result<Self, ServerError> {
        let mut handle = Self { http: None, ws: None, servers: Vec::new() };
        match (&config.http, &config.ws) {
            (Some(http), Some(ws)) if http.address == ws.address && http.address.port() != 0 => {
                if http != ws {
                    return Err(ServerError::Conflict(http.address));
                }
                let address = handle.start(Transport::Both, http, config, modules).await?;
                (handle.http, handle.ws) = (Some(address), Some(address));
            }
            (http, ws) => {
                if let Some(http) = http {
                    handle.http = Some(handle.start(Transport::Http, http, config, modules).await?);
                }
                if let Some(ws) = ws {
                    handle.ws = Some(handle.start(Transport::Ws, ws, config, modules).await?);
                }
            }
        }
        Ok(handle)
    }

    /// Where HTTP is served.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where WebSocket is served.
    pub fn ws_address(&self) -> Option<SocketAddr> {
        self.ws
    }

    /// Stops accepting, and waits until open requests are answered.
    pub async fn stop(self) {
        let stop = async |server: ServerHandle| {
            if server.stop().is_ok() {
                server.stopped().await;
            }
        };
        futures::future::join_all(self.servers.into_iter().map(stop)).await;
    }

    async fn start(
        &mut self,
        transport: Transport,
        endpoint: &EndpointConfig,
        config: &RpcConfig,
        modules: &Modules,
    ) -> Result<SocketAddr, ServerError> {
        let methods = modules.select(&endpoint.namespaces)?;
        let (address, server) = serve(transport, endpoint, &config.limits, methods, modules).await?;
        self.servers.push(server);
        announce(transport, address, &modules.served(&endpoint.namespaces));
        Ok(address)
    }
}

fn announce(transport: Transport, url: SocketAddr, namespaces: &Namespaces) {
    let api = tracing::field::display(namespaces);
    match transport {
        Transport::Http | Transport::Both => {
            tracing::info!(target: "rpc", %url, api, "RPC HTTP server started");
        }
        Transport::Ws => tracing::info!(target: "rpc", %url, api, "RPC WS server started"),
    }
    if transport == Transport::Both {
        tracing::info!(target: "rpc", %url, "RPC WS server started");
    }
}

async fn serve(
    transport: Transport,
    endpoint: &EndpointConfig,
    limits: &ServerLimits,
    methods: Methods,
    modules: &Modules,
) -> Result<(SocketAddr, ServerHandle), ServerError> {
    let (address, flag) = (endpoint.address, transport.flag());
    let listen = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => ServerError::AddressInUse { address, flag },
        _ => ServerError::Listen { address, flag, source },
    };
    let middleware = tower::ServiceBuilder::new()
        .option_layer(cors(&endpoint.cors))
        .layer(VirtualHostLayer(Arc::new(endpoint.vhosts.clone())))
        .layer(OriginLayer(Arc::new(endpoint.cors.clone())))
        .layer(HealthLayer(modules.context().clone()))
        .layer(BodyLayer::new(limits));
    let methods = BatchLayer::prepare(&methods)?;
    let rpc_middleware = RpcServiceBuilder::new().layer(MeterLayer::new(&methods, flag)).layer(BatchLayer);
    let listener =
        Listener::bind(address, limits.max_connections, limits.stall_timeout).await.map_err(listen)?;
    let bound = listener.local_addr().map_err(listen)?;
    let service = jsonrpsee::server::Server::builder()
        .set_config(server_config(transport, limits))
        .set_http_middleware(middleware)
        .to_service_builder();
    let serve = move |stop, backlog| {
        let layers = rpc_middleware.clone().layer(backlog);
        service.clone().set_rpc_middleware(layers).build(methods.clone(), stop)
    };
    Ok((bound, listener.serve(serve)))
}

fn server_config(transport: Transport, limits: &ServerLimits) -> ServerConfig {
    let batch = match limits.max_batch_size {
        0 => BatchRequestConfig::Unlimited,
        most => BatchRequestConfig::Limit(most),
    };
    let config: ServerConfigBuilder = ServerConfig::builder()
        .max_connections(limits.max_connections)
        .max_request_body_size(limits.max_request_size)
        .max_response_body_size(limits.max_response_size)
        .max_subscriptions_per_connection(limits.max_subscriptions_per_connection)
        .set_batch_request_config(batch)
        .set_message_buffer_capacity(socket::QUEUE)
        .enable_ws_ping(socket::pings(limits))
        .set_id_provider(SubscriptionIds);
    match transport {
        Transport::Http => config.http_only(),
        Transport::Ws => config.ws_only(),
        Transport::Both => config,
    }
    .build()
}

/// Subscription ids as geth has them: random, in hex.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionIds;

impl jsonrpsee::core::traits::IdProvider for SubscriptionIds {
    fn next_id(&self) -> jsonrpsee::types::SubscriptionId<'static> {
        format!("0x{:032x}", rand::random::<u128>()).into()
    }
}

fn cors(domains: &CorsDomains) -> Option<CorsLayer> {
    let origins = match domains {
        CorsDomains::None => return None,
        CorsDomains::Any => AllowOrigin::from(Any),
        CorsDomains::List(origins) => AllowOrigin::list(origins.clone()),
    };
    let methods = [Method::GET, Method::POST];
    Some(CorsLayer::new().allow_methods(methods).allow_origin(origins).allow_headers([CONTENT_TYPE]))
}
