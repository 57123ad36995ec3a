//! `--http.*`, `--ws.*`, `--authrpc.*` and `--rpc.*`.

use std::{net::IpAddr, path::PathBuf};

use clap::Args;

/// JSON-RPC.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "RPC")]
pub(crate) struct RpcArgs {
    /// Serve JSON-RPC over HTTP.
    #[arg(long)]
    pub(crate) http: bool,

    /// Address of the HTTP server.
    #[arg(long = "http.addr", default_value = "127.0.0.1")]
    pub(crate) http_addr: IpAddr,

    /// Port of the HTTP server; 0: any free one.
    #[arg(long = "http.port", default_value_t = 8545)]
    pub(crate) http_port: u16,

    /// Namespaces of the HTTP server.
    #[arg(long = "http.api", value_delimiter = ',', default_value = "eth,net,web3,txpool,debug,tributary")]
    pub(crate) http_api: Vec<String>,

    /// Origins that browsers may call from (`*`: any).
    #[arg(long = "http.corsdomain", value_name = "ORIGINS")]
    pub(crate) http_corsdomain: Option<String>,

    /// Host names that requests may carry (`*`: any). Default: localhost and IP addresses.
    #[arg(long = "http.vhosts", value_delimiter = ',', value_name = "HOSTS")]
    pub(crate) http_vhosts: Vec<String>,

    /// Serve JSON-RPC over WebSocket.
    #[arg(long)]
    pub(crate) ws: bool,

    /// Address of the WebSocket server.
    #[arg(long = "ws.addr", default_value = "127.0.0.1")]
    pub(crate) ws_addr: IpAddr,

    /// Port of the WebSocket server; 0: any free one.
    #[arg(long = "ws.port", default_value_t = 8546)]
    pub(crate) ws_port: u16,

    /// Namespaces of the WebSocket server.
    #[arg(long = "ws.api", value_delimiter = ',', default_value = "eth,net,web3,txpool,debug,tributary")]
    pub(crate) ws_api: Vec<String>,

    /// Origins of WebSocket connections (`*`: any).
    #[arg(long = "ws.origins", value_name = "ORIGINS")]
    pub(crate) ws_origins: Option<String>,

    /// Address of the authenticated server.
    #[arg(long = "authrpc.addr", default_value = "127.0.0.1")]
    pub(crate) auth_addr: IpAddr,

    /// Port of the authenticated server; 0: any free one.
    #[arg(long = "authrpc.port", default_value_t = 8551)]
    pub(crate) auth_port: u16,

    /// File of the hex JWT secret; made in the data folder when none is named.
    #[arg(long = "authrpc.jwtsecret", value_name = "PATH")]
    pub(crate) jwt_secret: Option<PathBuf>,

    /// Largest request, in MB.
    #[arg(long = "rpc.max-request-size", default_value_t = 15)]
    pub(crate) max_request_size: u32,

    /// Largest response, in MB.
    #[arg(long = "rpc.max-response-size", default_value_t = 160)]
    pub(crate) max_response_size: u32,

    /// Most connections at a time.
    #[arg(long = "rpc.max-connections", default_value_t = 500)]
    pub(crate) max_connections: u32,

    /// Most subscriptions of one connection.
    #[arg(long = "rpc.max-subscriptions-per-connection", default_value_t = 1024)]
    pub(crate) max_subscriptions: u32,

    /// Most calls in a batch.
    #[arg(long = "rpc.max-batch", default_value_t = 1000)]
    pub(crate) max_batch: u32,

    /// Most blocks one eth_getLogs may span; 0: no limit.
    #[arg(long = "rpc.max-blocks-per-filter", default_value_t = 100_000)]
    pub(crate) max_blocks_per_filter: u64,

    /// Most logs one eth_getLogs may answer; 0: no limit.
    #[arg(long = "rpc.max-logs-per-response", default_value_t = 20_000)]
    pub(crate) max_logs_per_response: usize,

    /// Most gas of an eth_call, eth_estimateGas or trace.
    #[arg(long = "rpc.gascap", default_value_t = 50_000_000)]
    pub(crate) gas_cap: u64,
}
