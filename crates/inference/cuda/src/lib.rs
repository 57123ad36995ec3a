#![doc = include_str!("../README.md")]

mod backend;
mod choice;
mod device;
mod driver;
mod error;
mod start;
mod tier;

pub mod launch;
pub mod pack;
pub mod plan;
pub mod sources;

pub use backend::{CudaBackend, Options};
pub use choice::{DeviceChoice, Gpus};
pub use device::{CopyId, Device, HostBytes, HostMemory, ProgramId};
pub use driver::{CudaDevice, Nvrtc};
pub use error::{CudaError, DeviceError};
pub use start::{OpenDevice, Starter};
pub use tier::Tier;
