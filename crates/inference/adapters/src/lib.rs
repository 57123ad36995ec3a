#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod adapter;

pub use adapter::{Adapter, Geometry, LoraModule, Projection};
