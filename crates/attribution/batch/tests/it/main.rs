//! Packing from outside the crate: what is packed holds, and nothing else does.

mod golden;
mod mutate;
mod packing;
mod proofs;
pub(crate) use golden::generator::world;
