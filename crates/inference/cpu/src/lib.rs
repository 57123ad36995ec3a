#![doc = include_str!("../README.md")]

mod affinity;
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

pub use affinity::Affinity;
pub use backend::{CpuBackend, Options, check_contract, geometry, page_size};
pub use blocks::{BLOCK, Block, block, quantize_weights};
pub use dora::gains_of as dora_gains;
pub use error::CpuError;
pub use kernels::Path;
pub use profile::{PROFILE, hash as profile_hash_with, profile_hash};
pub use rope::RopeTable;
pub use vectors::{AttentionCase, Primitives, Q8, check as check_vectors, generate as generate_vectors};
