//! Weights as the kernels of `linear.cuh` stream them.

mod fast;
mod layout;
mod matrix;

pub use fast::{e4m3, pack_fast};
pub use layout::{Layout, Shape, TILE};
pub use matrix::pack;
