//! Choosing tokens: parameters, the order of their application, and the random draws.

mod choosing;
mod exp;
mod params;
mod philox;
mod sampler;

pub use choosing::Choosing;
pub use exp::exp;
pub use params::{PPM, SamplingError, SamplingParams};
pub use philox::{draw, philox4x32};
pub use sampler::NoChoice;
pub(crate) use sampler::{Choice, Sampler, Seen};
