//! The definition: profile `f32-q8-1` in plain scalar Rust, one value after the other, over unpacked weights.
//!
//! Slow and simple on purpose. Nothing here shares code with the kernels but the constants and the reading of
//! stored blocks; the tests hold every path against it, and the committed vectors are made by it.

mod forward;
mod primitives;

pub use forward::{Lora, Position, Reference};
pub(crate) use forward::{dequantized, gain};
pub(crate) use primitives::{attend, dot, exp, linear, norm, quantize, rope, silu_mul};
