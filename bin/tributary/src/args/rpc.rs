//! `--http.*`, `--ws.*`, `--rpc.*`.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use alloy_primitives::utils::parse_ether as parse_wei;
use clap::Args;
use eyre::{OptionExt, Result};
use tributary_rpc::{
    EndpointConfig, EthConfig, Namespace, Namespaces, RpcConfig, ServerLimits, VirtualHosts,
};

use super::duration::parse_duration;

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
    #[arg(long = "http.api", default_value = "eth,net,web3,txpool,debug,tributary")]
    pub(crate) http_api: String,

    /// Origins that browsers may call from (`*`: any).
    #[arg(long = "http.corsdomain", value_name = "ORIGINS")]
    pub(crate) http_corsdomain: Option<String>,

    /// Host names that requests may carry (`*`: any). IP addresses are always taken.
    #[arg(long = "http.vhosts", value_name = "HOSTS", default_value = "localhost")]
    pub(crate) http_vhosts: String,

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
    #[arg(long = "ws.api", default_value = "eth,net,web3,txpool,debug,tributary")]
    pub(crate) ws_api: String,

    /// Web pages that may open WebSockets, by origin (`*`: any). Default: those of localhost, 127.0.0.1 and ::1. Connections that name no origin are
    /// always taken.
    #[arg(long = "ws.origins", value_name = "ORIGINS")]
    pub(crate) ws_origins: Option<String>,

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

    /// Longest an eth_call may take (`5s`); 0: no limit.
    #[arg(long = "rpc.evmtimeout", default_value = "5s", value_parser = parse_duration)]
    pub(crate) evm_timeout: Duration,

    /// Most a sent transaction may pay for gas, in ether; 0: no limit.
    #[arg(long = "rpc.txfeecap", value_name = "ETHER", default_value = "1", value_parser = parse_ether)]
    pub(crate) tx_fee_cap: u128,

    /// Blocks behind the head for which eth_getProof answers.
    #[arg(long = "rpc.eth-proof-window", default_value_t = u64::MAX)]
    pub(crate) proof_window: u64,

    /// Most traces at a time. Default: two less than there are cores, at least two.
    #[arg(long = "rpc.max-tracing-requests")]
    pub(crate) max_tracing_requests: Option<usize>,

    /// Most blocks one trace_filter may span; 0: no limit.
    #[arg(long = "rpc.max-trace-filter-blocks", default_value_t = 100)]
    pub(crate) max_trace_filter_blocks: u64,

    /// Most calls and estimates at a time.
    #[arg(long = "rpc.max-blocking-io-requests", default_value_t = 256)]
    pub(crate) max_blocking_io_requests: usize,

    /// No IPC socket; there is none.
    #[arg(long)]
    pub(crate) ipcdisable: bool,

    /// Path of the IPC socket; there is none.
    #[arg(long, value_name = "PATH")]
    pub(crate) ipcpath: Option<String>,
}

impl RpcArgs {
    /// Whether users can call the methods of a namespace.
    pub(crate) fn serves(&self, namespace: Namespace) -> bool {
        let listed = |api: &str| api.parse().is_ok_and(|api: Namespaces| api.contains(namespace));
        self.http && listed(&self.http_api) || self.ws && listed(&self.ws_api)
    }

    /// What the servers are told.
    pub(crate) fn config(&self) -> Result<RpcConfig> {
        let endpoint = |on: bool, address: SocketAddr, api: &str, origins: Option<&str>| -> Result<_> {
            if !on {
                return Ok(None);
            }
            Ok(Some(EndpointConfig {
                namespaces: api.parse()?,
                cors: origins.unwrap_or_default().parse()?,
                vhosts: VirtualHosts::from(self.http_vhosts.as_str()),
                ..EndpointConfig::new(address)
            }))
        };
        let defaults = EthConfig::default();
        let http = (self.http_addr, self.http_port).into();
        let ws = (self.ws_addr, self.ws_port).into();
        Ok(RpcConfig {
            http: endpoint(self.http, http, &self.http_api, self.http_corsdomain.as_deref())?,
            ws: endpoint(self.ws, ws, &self.ws_api, self.ws_origins.as_deref())?,
            limits: ServerLimits {
                max_connections: self.max_connections,
                max_request_size: self.max_request_size.saturating_mul(1 << 20),
                max_response_size: self.max_response_size.saturating_mul(1 << 20),
                max_subscriptions_per_connection: self.max_subscriptions,
                max_batch_size: self.max_batch,
                ..ServerLimits::default()
            },
            eth: EthConfig {
                max_blocks_per_filter: self.max_blocks_per_filter,
                max_logs_per_response: self.max_logs_per_response,
                gas_cap: self.gas_cap,
                evm_timeout: self.evm_timeout,
                tx_fee_cap: self.tx_fee_cap,
                proof_window: self.proof_window,
                max_trace_filter_blocks: self.max_trace_filter_blocks,
                max_concurrent_calls: self.max_blocking_io_requests,
                max_tracing_requests: self.max_tracing_requests.unwrap_or(defaults.max_tracing_requests),
                ..defaults
            },
        })
    }
}

fn parse_ether(text: &str) -> Result<u128> {
    parse_wei(text)?.try_into().ok().ok_or_eyre("more ether than there is")
}
