#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
mod pack;
mod proofs;
mod state;

pub use error::{ApplyError, PackError};
pub use pack::{Limits, Outcome, Packed, Refused, pack};
pub use proofs::RecordTree;
pub use state::{AgentState, Claim, SignedVoucher};
