//! The worker's parts, each against what could go wrong with it.

mod sender;
mod store;
