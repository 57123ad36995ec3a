//! Integration tests of the state crate.

mod bundle;
mod chain;
mod memory;
mod model;
mod proofs;
mod random;
mod witness;
