//! The embedded server: eigenda-proxy in memstore mode, for dev chains.

mod blobs;
mod certify;
mod config;
mod duration;
mod hexpath;
mod routes;
mod server;

pub use config::{DerivationError, MemstoreConfig};
pub use duration::GoDuration;
pub use server::Memstore;
