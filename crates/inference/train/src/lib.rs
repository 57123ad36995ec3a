#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod corpus;
mod error;
mod examples;
pub mod job;
mod lora;
mod model;
mod ops;
pub mod peft;
pub mod quality;
mod recipe;
mod trainer;

pub use corpus::Document;
pub use error::TrainError;
pub use examples::Codec;
pub use lora::LoraWeights;
pub use model::Base;
pub use recipe::Recipe;
pub use trainer::{HeldOut, Step, Trained, evaluate, train};
