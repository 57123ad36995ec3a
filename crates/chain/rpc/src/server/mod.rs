//! Sockets, and what goes over them before and after the methods.
//!
//! ```text
//! TCP ─► CORS ─► virtual hosts ─► origins of WebSockets ─► GET /health ─► whole body ─► jsonrpsee: size, batch and connection limits ─► meter ─► methods
//! ```

mod body;
mod health;
mod launch;
mod meter;
mod modules;
mod origins;
mod socket;
mod vhosts;

pub use launch::{RpcHandle, ServerError};
pub use meter::MeterLayer;
pub use modules::Modules;
