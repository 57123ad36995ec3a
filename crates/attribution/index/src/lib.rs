#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod build;
mod document;
mod error;
mod format;
mod map;
mod minima;
mod pinned;
mod segment;
mod store;

pub use build::build;
pub use document::{Document, Identity};
pub use error::IndexError;
pub use pinned::{Hit, PinSpec, Pinned};
pub use segment::{Found, Segment};
pub use store::{LoadTokens, Store};
