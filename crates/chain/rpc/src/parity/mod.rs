//! `trace_*`: traces in the form that Parity gave them, which reth and Erigon serve too.
//!
//! There are no rewards in them: nobody is rewarded for a block here.

mod api;
mod call;
mod filter;
mod replay;

pub use api::TraceApiServer;
pub(crate) use api::TraceMethods;
pub use filter::TraceFilterRequest;
