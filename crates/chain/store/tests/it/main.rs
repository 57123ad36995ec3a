//! Integration tests of the store.

mod blocks;
mod cache;
mod fixture;
mod log_index;
mod open;
mod state;
mod util;
