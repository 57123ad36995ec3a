#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod backend;
mod memstore;
mod proxy;

pub use backend::{DaBackend, DaError, MAX_PAYLOAD};
pub use memstore::{Memstore, MemstoreConfig, MemstoreError};
pub use proxy::{ProxyClient, ProxyOptions};
