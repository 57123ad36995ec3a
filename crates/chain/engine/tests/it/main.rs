//! The Engine API over a real tree, pool and builder, called as a rollup node calls it.

mod attributes;
mod auth;
mod forkchoice;
mod forks;
mod hostile;
mod node;
mod order;
mod payloads;
mod replay;
mod witness;
