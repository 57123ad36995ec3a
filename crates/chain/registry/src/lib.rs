#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bundle;
mod chain;
mod error;
mod forks;

pub use bundle::{find, list};
pub use chain::KnownChain;
pub use error::RegistryError;
