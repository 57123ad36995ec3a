//! A chain in this process, spoken to over real sockets.

mod blocks;
mod calls;
mod logs;
mod node;
mod pubsub;
mod send;
mod sockets;
mod traces;
