//! `debug_*`: traces and raw data.

mod api;
mod bounded;
mod budget;
mod duration;
mod raw;
mod trace;

pub use api::DebugApiServer;
pub(crate) use api::DebugMethods;
