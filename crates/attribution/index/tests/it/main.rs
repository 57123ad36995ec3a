//! Segments from outside the crate.

mod files;
mod search;
mod support;
