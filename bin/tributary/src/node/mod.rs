//! Starting and stopping the node.
//!
//! ```text
//! spec ─▶ Chain (tree over RocksDB) ─▶ Pool ─▶ DevSequencer (dev chains)
//!            │                          │
//!            └──────── NodeChain ◀──────┘
//!                          │
//!        engine ─▶ Worker (API, poster, store) ─▶ DA
//!                          │
//!                        RPC servers (eth_*, tributary_*), Engine API (engine_*, no dev chains), peers
//! ```
//!
//! Parts stop in the opposite order: nothing is asked of a part that is gone.

mod banner;
mod chain;
mod command;
mod descriptors;
mod flags;
mod memory;
mod metrics;
mod ports;
mod progress;
mod servers;
mod signals;
mod worker;

pub(crate) use self::command::{DevCommand, NodeCommand};
