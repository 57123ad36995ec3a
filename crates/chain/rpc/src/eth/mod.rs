//! `eth_*`.

mod access_list;
mod api;
mod arrivals;
mod block;
mod bounds;
mod call;
mod conditional;
mod config;
mod delivery;
mod estimate;
mod extra;
mod fees;
mod filter;
mod forward;
mod logs;
mod many;
mod pubsub;
mod request;
mod send_sync;
mod server;
mod simulate;
mod state;
mod tx;

pub use api::{EthApiClient, EthApiServer, EthFilterApiServer, EthPubSubApiServer};
pub(crate) use call::CallRequest;
pub(crate) use conditional::{ConditionalApiServer, ConditionalMethods};
pub(crate) use delivery::Backlog;
pub(crate) use extra::ExtraMethods;
pub use extra::{EthExtraApiServer, RpcAccount, RpcAccountInfo};
pub(crate) use fees::FeeCache;
pub(crate) use filter::{FilterMethods, Filters};
pub use forward::{Forwarder, ForwarderError};
pub(crate) use many::check_size as check_bundles;
pub(crate) use pubsub::PubSubMethods;
pub(crate) use server::EthMethods;
