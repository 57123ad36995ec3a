//! Sockets, and what goes over them before and after the methods.
//!
//! ```text
//! TCP, whose peers have to read ─► CORS ─► virtual hosts ─► origins of WebSockets ─► GET /health ─► whole body ─► jsonrpsee: size, batch and connection limits ─► meter ─► batches ─► room for the answer ─► methods
//! ```

mod backlog;
mod batch;
mod body;
mod health;
mod launch;
mod meter;
mod modules;
mod origins;
mod socket;
mod vhosts;

pub use backlog::BacklogLayer;
pub use batch::BatchLayer;
pub use body::BodyLayer;
pub use launch::{RpcHandle, ServerError, SubscriptionIds};
pub use meter::MeterLayer;
pub use modules::Modules;
pub use socket::Listener;
