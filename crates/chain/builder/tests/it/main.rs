//! Jobs and dev blocks over a real tree and a real pool.

mod dev;
mod node;
mod payload;
