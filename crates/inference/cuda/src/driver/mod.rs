//! The real device: driver, compiler, cache of what was compiled.

mod cache;
mod context;
mod cuda;
mod nvrtc;

pub use cuda::CudaDevice;
pub use nvrtc::Nvrtc;
