#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod address;
mod interfaces;

pub use interfaces::{IAgents, IAttribution, IDatanets, IModels, IParams, ISettlement};
