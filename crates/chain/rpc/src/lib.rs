#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod admin;
mod blocking;
mod config;
mod context;
mod convert;
mod debug;
mod error;
mod eth;
mod net;
mod parity;
mod provider;
mod server;
mod tributary;
mod txpool;
mod web3;

pub use admin::AdminPoolApiServer;
pub use blocking::Lane;
pub use config::{
    CorsDomains, EndpointConfig, EthConfig, Namespace, Namespaces, RpcConfig, ServerLimits, VirtualHosts,
};
pub use context::{RpcContext, RpcParts};
pub use convert::{RpcBlock, RpcHeader, RpcReceipt, RpcTransaction};
pub use debug::{DebugApiServer, StorageEntry, StorageRange};
pub use error::RpcError;
pub use eth::{
    EthApiClient, EthApiServer, EthExtraApiServer, EthFilterApiServer, EthPubSubApiServer, Forwarder,
    ForwarderError, RpcAccount, RpcAccountInfo,
};
pub use net::{NetApiServer, NoPeers, Peers};
pub use parity::{TraceApiServer, TraceFilterRequest};
pub use server::{
    BacklogLayer, BatchLayer, BodyLayer, Listener, MeterLayer, Modules, RpcHandle, ServerError,
    SubscriptionIds,
};
pub use tributary::{
    ModelKey, NoWorker, TributaryApi, TributaryError, TributaryEvents, TributaryQuery, TributaryRpcClient,
    TributaryRpcServer,
};
pub use txpool::TxpoolApiServer;
pub use web3::Web3ApiServer;
