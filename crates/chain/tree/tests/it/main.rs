//! Integration tests of the tree.

mod activations;
mod crash;
mod dev;
mod fail;
mod heads;
mod imports;
mod labels;
mod power;
mod random;
mod toy;
