#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod api;
mod attributes;
mod auth;
mod bodies;
mod buffer;
mod engine;
mod envelope;
mod error;
mod head;
mod linker;
mod miner;
mod payload;
mod server;
mod version;
mod witness;

pub use api::{CAPABILITIES, EngineApiServer};
pub use auth::{JwtError, JwtSecret};
pub use engine::{ClientVersion, Engine, Wanted};
pub use envelope::PayloadEnvelope;
pub use error::EngineError;
pub use miner::MinerApiServer;
pub use payload::{NewPayload, WirePayload};
pub use server::{AuthConfig, AuthServer, AuthServerError};
pub use version::Version;
pub use witness::{PayloadWitness, PayloadWitnessApiServer};
