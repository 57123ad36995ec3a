//! `debug_*`: traces and raw data.

mod api;
mod raw;
mod trace;

pub use api::DebugApiServer;
pub(crate) use api::DebugMethods;
