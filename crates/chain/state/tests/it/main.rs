//! Integration tests of the state crate.

mod memory;
