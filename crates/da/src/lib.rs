#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod backend;
pub mod certificate;
mod choice;
mod error;
pub mod memstore;
mod proxy;
mod rlp;

pub use backend::{DaBackend, get_checked};
pub use choice::{DaChoice, refuse_memstore};
pub use error::DaError;
pub use proxy::{ProxyClient, ProxyConfig};
