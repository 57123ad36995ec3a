//! What is served, where, and how much of it.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

/// All of the servers' configuration. The command line names its parts as reth does.
#[derive(Clone, Debug)]
pub struct RpcConfig {
    /// `--http`.
    pub http: Option<EndpointConfig>,
    /// `--ws`. On the HTTP server's address, one server speaks both.
    pub ws: Option<EndpointConfig>,
    /// Limits of each server.
    pub limits: ServerLimits,
    /// Limits of the methods.
    pub eth: EthConfig,
}

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// `--http.addr`, `--http.port`; port 0 lets the system choose.
    pub address: SocketAddr,
    /// `--http.api`.
    pub namespaces: Namespaces,
    /// `--http.corsdomain`, `--ws.origins`.
    pub cors: CorsDomains,
    /// `--http.vhosts`.
    pub vhosts: VirtualHosts,
}

impl EndpointConfig {
    /// An endpoint with reth's defaults otherwise.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            namespaces: Namespaces::default(),
            cors: CorsDomains::default(),
            vhosts: VirtualHosts::default(),
        }
    }
}

/// What one server takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// `--rpc.max-connections`.
    pub max_connections: u32,
    /// `--rpc.max-request-size`, bytes.
    pub max_request_size: u32,
    /// `--rpc.max-response-size`, bytes.
    pub max_response_size: u32,
    /// `--rpc.max-subscriptions-per-connection`.
    pub max_subscriptions_per_connection: u32,
    /// `--rpc.max-batch-size`: requests in one batch; 0 is no limit.
    pub max_batch_size: u32,
    /// How long a request's body may take to arrive.
    pub body_timeout: Duration,
    /// How often a WebSocket peer is asked whether it is there.
    pub ping_interval: Duration,
    /// How long a peer may take nothing of what is sent to it.
    pub stall_timeout: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_connections: 500,
            max_request_size: 15 << 20,
            max_response_size: 160 << 20,
            max_subscriptions_per_connection: 1024,
            max_batch_size: 1000,
            body_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(30),
        }
    }
}

/// What one request may cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EthConfig {
    /// `--rpc.max-blocks-per-filter`: 0 is no limit.
    pub max_blocks_per_filter: u64,
    /// `--rpc.max-logs-per-response`: 0 is no limit.
    pub max_logs_per_response: usize,
    /// Searches for logs at the same time; the others wait.
    pub max_concurrent_log_queries: usize,
    /// `--rpc.gascap`: gas of a call that names none.
    pub gas_cap: u64,
    /// `--rpc.evmtimeout`: how long a call may take; zero is no limit.
    pub evm_timeout: Duration,
    /// `--rpc.max-tracing-requests`: traces at the same time.
    pub max_tracing_requests: usize,
    /// Bytes that one request for traces may record.
    pub max_trace_bytes: usize,
    /// `--rpc.max-trace-filter-blocks`: blocks of one `trace_filter`; 0 is no limit.
    pub max_trace_filter_blocks: u64,
    /// `--rpc.max-blocking-io-requests`: calls and estimates at the same time.
    pub max_concurrent_calls: usize,
    /// `--rpc.txfeecap`: the most a sent transaction may pay for gas, in wei; zero is no limit.
    pub tx_fee_cap: u128,
    /// `--rpc.stale-filter-ttl`: a filter that nobody polls for so long is removed.
    pub stale_filter_ttl: Duration,
    /// `--gpo.maxheaderhistory`: blocks of one `eth_feeHistory`.
    pub max_fee_history: u64,
    /// `--min-suggested-priority-fee`, in wei.
    pub min_suggested_priority_fee: u128,
    /// `--gpo.maxprice`: no higher tip is suggested, in wei.
    pub max_suggested_priority_fee: u128,
    /// `--rollup.enable-tx-conditional`: serve `eth_sendRawTransactionConditional`.
    pub tx_conditional: bool,
    /// `--rpc.eth-proof-window`: how far behind the head proofs go.
    pub proof_window: u64,
}

impl Default for EthConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Self {
            max_blocks_per_filter: 100_000,
            max_logs_per_response: 20_000,
            max_concurrent_log_queries: cores.saturating_sub(2).max(2),
            gas_cap: 50_000_000,
            evm_timeout: Duration::from_secs(5),
            max_tracing_requests: cores.saturating_sub(2).max(2),
            max_trace_bytes: 256 << 20,
            max_trace_filter_blocks: 100,
            max_concurrent_calls: 256,
            tx_fee_cap: 1_000_000_000_000_000_000,
            stale_filter_ttl: Duration::from_secs(300),
            max_fee_history: 1024,
            min_suggested_priority_fee: 1_000_000,
            max_suggested_priority_fee: 500_000_000_000,
            tx_conditional: false,
            proof_window: u64::MAX,
        }
    }
}

/// A group of methods: what stands before the underscore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// Blocks, state, transactions, calls.
    Eth,
    /// The network's id and peers.
    Net,
    /// The client's version.
    Web3,
    /// The transaction pool's content.
    Txpool,
    /// Traces and raw data.
    Debug,
    /// The economy's reads.
    Tributary,
    /// The list of the others.
    Rpc,
    /// The node's own business.
    Admin,
    /// What a batcher sets.
    Miner,
    /// Traces in Parity's form.
    Trace,
    /// reth's own.
    Reth,
}

impl Namespace {
    /// Every namespace.
    pub const ALL: [Self; 11] = [
        Self::Eth,
        Self::Net,
        Self::Web3,
        Self::Txpool,
        Self::Debug,
        Self::Tributary,
        Self::Rpc,
        Self::Admin,
        Self::Miner,
        Self::Trace,
        Self::Reth,
    ];

    /// As it stands before the underscore.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eth => "eth",
            Self::Net => "net",
            Self::Web3 => "web3",
            Self::Txpool => "txpool",
            Self::Debug => "debug",
            Self::Tributary => "tributary",
            Self::Rpc => "rpc",
            Self::Admin => "admin",
            Self::Miner => "miner",
            Self::Trace => "trace",
            Self::Reth => "reth",
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A namespace that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown RPC namespace `{0}`; known: admin, debug, eth, miner, net, reth, rpc, trace, tributary, txpool, web3, all, none"
)]
pub struct UnknownNamespace(String);

impl FromStr for Namespace {
    type Err = UnknownNamespace;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|known| known.name() == name)
            .ok_or_else(|| UnknownNamespace(name.to_owned()))
    }
}

/// The namespaces of one endpoint: `eth,net`, `all` or `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespaces(BTreeSet<Namespace>);

impl Namespaces {
    /// Everything.
    pub fn all() -> Self {
        Self(Namespace::ALL.into())
    }

    /// Whether one is served.
    pub fn contains(&self, namespace: Namespace) -> bool {
        self.0.contains(&namespace)
    }

    /// All that are served.
    pub fn iter(&self) -> impl Iterator<Item = Namespace> {
        self.0.iter().copied()
    }
}

impl Default for Namespaces {
    fn default() -> Self {
        Self([Namespace::Eth, Namespace::Net, Namespace::Web3, Namespace::Tributary].into())
    }
}

impl FromIterator<Namespace> for Namespaces {
    fn from_iter<T: IntoIterator<Item = Namespace>>(namespaces: T) -> Self {
        Self(namespaces.into_iter().collect())
    }
}

impl FromStr for Namespaces {
    type Err = UnknownNamespace;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        match list.trim() {
            "all" => Ok(Self::all()),
            "none" | "" => Ok(Self(BTreeSet::new())),
            list => list.split(',').map(|name| name.trim().parse()).collect::<Result<_, _>>().map(Self),
        }
    }
}

impl fmt::Display for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|namespace| namespace.name()).collect();
        f.write_str(&names.join(","))
    }
}

/// Which web pages may read answers, and open WebSockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CorsDomains {
    /// None: no CORS headers are sent, and only pages of this machine open WebSockets.
    #[default]
    None,
    /// `*`.
    Any,
    /// These origins.
    List(Vec<http::HeaderValue>),
}

impl CorsDomains {
    /// Whether a page of this origin may open a WebSocket.
    pub fn admits_socket(&self, origin: &http::HeaderValue) -> bool {
        match self {
            Self::None => is_local(origin),
            Self::Any => true,
            Self::List(known) => {
                known.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
            }
        }
    }
}

/// Whether an origin is this machine, by any scheme and port.
fn is_local(origin: &http::HeaderValue) -> bool {
    let Ok(origin) = http::Uri::try_from(origin.as_bytes()) else { return false };
    let local = ["localhost", "127.0.0.1", "[::1]"];
    origin.scheme().is_some()
        && origin.host().is_some_and(|host| local.iter().any(|name| name.eq_ignore_ascii_case(host)))
}

/// A name that cannot stand in a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no origin (or `*` stands beside others)")]
pub struct InvalidOrigin(String);

impl FromStr for CorsDomains {
    type Err = InvalidOrigin;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        let names: Vec<_> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        match names.as_slice() {
            [] => Ok(Self::None),
            ["*"] => Ok(Self::Any),
            names => names
                .iter()
                .map(|name| match http::HeaderValue::from_str(name) {
                    Ok(value) if *name != "*" => Ok(value),
                    _ => Err(InvalidOrigin((*name).to_owned())),
                })
                .collect::<Result<_, _>>()
                .map(Self::List),
        }
    }
}

/// Names by which the server may be addressed. A browser that is led here by a foreign name (DNS rebinding) says that
/// name in its Host header; addresses in digits are always right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VirtualHosts {
    /// `*`.
    Any,
    /// These names.
    List(Vec<String>),
}

impl Default for VirtualHosts {
    fn default() -> Self {
        Self::List(vec!["localhost".to_owned()])
    }
}

impl From<&str> for VirtualHosts {
    fn from(list: &str) -> Self {
        if list.split(',').any(|name| name.trim() == "*") {
            return Self::Any;
        }
        let names = list.split(',').map(|name| name.trim().to_ascii_lowercase());
        Self::List(names.filter(|name| !name.is_empty()).collect())
    }
}

impl VirtualHosts {
    /// Whether a Host header's value is one of them.
    pub fn allows(&self, host: &str) -> bool {
        let Self::List(names) = self else { return true };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let digits = name.trim_start_matches('[').trim_end_matches(']');
        digits.parse::<IpAddr>().is_ok() || names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_read_and_written() {
        let both: Namespaces = "net, eth".parse().unwrap();
        assert!(
            both.contains(Namespace::Eth)
                && both.contains(Namespace::Net)
                && !both.contains(Namespace::Debug)
        );
        assert_eq!(both.to_string(), "eth,net");
        assert_eq!("all".parse::<Namespaces>().unwrap(), Namespaces::all());
        assert_eq!("none".parse::<Namespaces>().unwrap().iter().count(), 0);
        assert!("eth,personal".parse::<Namespaces>().is_err());
    }

    #[test]
    fn hosts_are_known_by_name_or_by_address() {
        let hosts = VirtualHosts::from("localhost, node.example");
        for good in
            ["localhost", "LOCALHOST:8545", "node.example:1", "127.0.0.1:8545", "[::1]:8545", "10.1.2.3"]
        {
            assert!(hosts.allows(good), "{good}");
        }
        for bad in ["evil.example", "evil.example:8545", "", "localhost.evil.example"] {
            assert!(!hosts.allows(bad), "{bad}");
        }
        assert!(VirtualHosts::from("*").allows("evil.example"));
    }

    #[test]
    fn cors_is_none_any_or_a_list() {
        assert_eq!("".parse::<CorsDomains>().unwrap(), CorsDomains::None);
        assert_eq!("*".parse::<CorsDomains>().unwrap(), CorsDomains::Any);
        assert!(matches!("http://a, http://b".parse().unwrap(), CorsDomains::List(list) if list.len() == 2));
        assert!("http://a,*".parse::<CorsDomains>().is_err());
    }

    #[test]
    fn sockets_are_for_pages_of_this_machine_or_of_the_list() {
        let admits = |list: &str, origin: &'static str| {
            let origins: CorsDomains = list.parse().unwrap();
            origins.admits_socket(&http::HeaderValue::from_static(origin))
        };
        for local in [
            "http://localhost",
            "https://LOCALHOST:3000",
            "http://127.0.0.1:8545",
            "http://[::1]",
            "https://[::1]:1",
        ] {
            assert!(
                admits("", local) && admits("*", local) && !admits("https://dapp.example", local),
                "{local}"
            );
        }
        for foreign in [
            "https://dapp.example",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
            "http://localhost:8545@evil.example",
            "http://evil.example/localhost",
            "localhost",
            "null",
            "",
        ] {
            assert!(!admits("", foreign) && admits("*", foreign), "{foreign}");
        }
        let two = "https://dapp.example, http://other.example:81";
        assert!(admits(two, "https://dapp.example") && admits(two, "http://Other.example:81"));
        for other in ["http://dapp.example", "https://dapp.example:444", "https://dapp.example.evil", "null"]
        {
            assert!(!admits(two, other), "{other}");
        }
    }
}
