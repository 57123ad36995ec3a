#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod adapter;
mod model;
mod noise;

pub use adapter::{AdapterSpec, TensorEdit, artifact, artifact_with};
pub use model::{EOS, GEOMETRY, VOCAB, model_folder};
pub use noise::Noise;
