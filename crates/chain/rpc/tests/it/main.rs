//! A chain in this process, spoken to over real sockets.

mod bare;
mod blocks;
mod calls;
mod extra;
mod logs;
mod node;
mod parity;
mod pending;
mod pubsub;
mod send;
mod sockets;
mod traces;
mod witness;
