#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod activations;
mod ahead;
mod blocks;
mod chain;
mod check;
mod config;
mod error;
mod event;
mod forkchoice;
mod genesis;
mod import;
mod invalid;
mod metrics;
mod node;
mod reads;
mod writer;

pub use chain::Chain;
pub use check::{VerifyReport, verify};
pub use config::{ChainConfig, Durability};
pub use error::TreeError;
pub use event::CanonEvent;
pub use forkchoice::ForkchoiceStatus;
pub use import::PayloadStatus;
pub use tributary_evm::ExecutedBlock;
pub use tributary_store::{BlockNumHash, LogQuery, Store, StoreOptions, StoreStats};
