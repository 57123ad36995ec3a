//! The executor against recorded blocks, against itself, and against what it must refuse.

mod agree;
mod build;
mod chain;
mod faults;
mod fields;
mod forks;
mod invalid;
mod replay;
mod sandbox;
mod txs;
mod witness;
