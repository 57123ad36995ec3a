#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod dev;
mod dev_l1;
mod error;
mod job;
mod l1_attributes;
mod payload;
mod pending;
mod source;

pub use dev::{BlockTime, DevConfig, DevSequencer};
pub use dev_l1::{DevL1, L1Origin};
pub use error::{DevError, PayloadError};
pub use job::Payload;
pub use l1_attributes::{JOVIAN_ATTRIBUTES_LEN, L1Attributes};
pub use payload::{PayloadBuilder, PayloadConfig};
pub use pending::PendingBlocks;
