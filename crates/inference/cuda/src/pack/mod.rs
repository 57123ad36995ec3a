//! Weights as the kernels of `linear.cuh` stream them.

mod layout;
mod matrix;

pub use layout::{Layout, Shape, TILE};
pub use matrix::pack;
