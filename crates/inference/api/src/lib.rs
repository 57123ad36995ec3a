#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod adapters;
mod config;
mod embeddings;
mod error;
mod extract;
mod fields;
mod handlers;
mod keys;
mod listen;
mod metrics;
mod order;
mod params;
mod payment;
mod replay;
mod reply;
mod resolve;
mod seats;
mod server;
mod service;
mod structured;
mod text;
mod tools;
pub mod types;
mod voucher;

pub use config::ApiConfig;
pub use error::ApiError;
pub use keys::{ApiKey, KeyError};
pub use listen::serve;
pub use metrics::MetricsHook;
pub use payment::{Ask, FreeGate, Gate, Meter, Refusal, SettleError};
pub use replay::{Replay, replay};
pub use resolve::{ResolveError, ResolvedModel, Resolver, StaticResolver};

pub use service::{Api, ApiParts};
pub use text::TextModel;
pub use voucher::{VOUCHER_HEADER, VoucherError, VoucherHeader};
