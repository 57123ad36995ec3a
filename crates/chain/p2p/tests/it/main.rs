//! Nodes that are peers of each other, over real connections on the loopback.

mod admin;
mod follow;
mod hostile;
mod node;
mod sync;
