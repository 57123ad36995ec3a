//! `debug_*`: traces and raw data.

mod api;
mod bounded;
mod budget;
mod duration;
mod nodes;
mod raw;
mod storage;
mod trace;
mod witness;

pub use api::DebugApiServer;
pub use storage::{StorageEntry, StorageRange};
pub(crate) use {
    api::DebugMethods,
    bounded::{Bounded, Kept},
    budget::Budget,
    nodes::RecentNodes,
};
