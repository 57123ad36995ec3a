#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bert;
mod config;
mod embedder;
mod error;

pub use embedder::Embedder;
pub use error::EmbedError;
