#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod address;
mod errors;
mod interfaces;

pub use errors::decode_error;
pub use interfaces::{IAgents, IAttribution, IDatanets, IModels, IParams, ISettlement};
