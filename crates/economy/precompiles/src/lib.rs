#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod agents;
mod attribution;
mod config;
mod datanets;
mod entry;
mod evm;
pub mod gas;
pub mod genesis;
mod host;
mod layout;
mod machine;
mod memory;
mod models;
mod params;
mod reader;
mod settlement;
mod storage;

pub use config::EconomyConfig;
pub use entry::{Invocation, execute};
pub use evm::mount;
pub use host::{Halt, Host};
pub use layout::{LAYOUT, LayoutEntry};
pub use memory::MemoryHost;
pub use params::{PARAMS, ParamSpec, key_of};
pub use reader::{ChainReader, ReadError, StorageRead, view};
