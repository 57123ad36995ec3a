#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod adapter;
mod artifact;
mod cache;
mod config;
mod error;
mod fetch;
mod files;
mod hosts;
mod memory;
mod residency;
mod select;

pub use adapter::{Adapter, Geometry, LoraModule, Projection};
pub use artifact::{Artifact, Bounds, CONFIG_FILE, TENSORS_FILE, artifact_hash, parser_hash};
pub use config::{ModuleSelector, PeftConfig};
pub use error::{AdapterError, Severity};
pub use fetch::{FetchPolicy, Fetcher, Source};
pub use files::FileRoots;
pub use memory::{Due, Memory, MemoryStats, PageBudget, PageClaim, TooSmall};
pub use residency::{Lease, Residency, ResidencyConfig, ResidencyStats};
