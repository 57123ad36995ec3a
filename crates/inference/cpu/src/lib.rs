#![doc = include_str!("../README.md")]

mod backend;
mod blocks;
mod constants;
mod dora;
mod error;
mod float_mode;
mod kernels;
mod kv;
mod lora;
mod memory;
mod packed;
mod pool;
mod profile;
mod rope;
mod simd;
mod vectors;

pub mod reference;

pub use backend::{CpuBackend, Options, geometry, page_size};
pub use error::CpuError;
pub use kernels::Path;
pub use profile::{PROFILE, profile_hash};
pub use vectors::generate as generate_vectors;
