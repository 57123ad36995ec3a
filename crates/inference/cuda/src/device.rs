//! What the backend asks of a device. The driver implements it; so do the tests, on the CPU.

use crate::{error::DeviceError, launch::Launch, plan::Arena};
use std::{any::Any, fmt, sync::Arc};

/// Launches that were put together once and are run again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProgramId(pub u64);

/// A copy under way beside the computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CopyId(pub u64);

/// Host memory that a device can read directly, and copy from while it computes.
pub trait HostBytes: Any + fmt::Debug + Send + Sync {
    /// Its contents.
    fn bytes(&self) -> &[u8];
    /// Its contents, for who has it alone.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// Where the device sees it.
    fn address(&self) -> u64;
}

/// Gives such memory, on any thread.
pub trait HostMemory: fmt::Debug + Send + Sync {
    /// Zeroed.
    fn allocate(&self, bytes: usize) -> Result<Box<dyn HostBytes>, DeviceError>;
}

/// A device. Whatever is not said to run beside runs in order.
///
/// Launches carry addresses that the kernels trust: they are made by [`launches`](crate::launch::launches) from the arenas
/// allocated here, and by nobody else.
pub trait Device: fmt::Debug + Send {
    /// For logs: `cuda-sm_90 NVIDIA H200 cuda:0`.
    fn name(&self) -> &str;

    /// Its compute capability, major and minor.
    fn capability(&self) -> (i32, i32);

    /// Bytes of device memory that are free.
    fn free_memory(&self) -> Result<u64, DeviceError>;

    /// Memory, kept until [`free`](Self::free) or the device's end. Gives its address.
    fn allocate(&mut self, arena: &Arena) -> Result<u64, DeviceError>;

    /// Gives memory back. Nothing that was launched may still use it.
    fn free(&mut self, address: u64);

    /// Fills memory with zeros.
    fn clear(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError>;

    /// Writes memory; `bytes` may be changed as soon as this returns.
    fn write(&mut self, to: u64, bytes: &[u8]) -> Result<(), DeviceError>;

    /// Copies within the device.
    fn copy(&mut self, from: u64, to: u64, bytes: u64) -> Result<(), DeviceError>;

    /// Reads memory once all before is done.
    fn read(&mut self, parts: &mut [(u64, &mut [u8])]) -> Result<(), DeviceError>;

    /// Puts a program together.
    fn program(&mut self, launches: &[Launch]) -> Result<ProgramId, DeviceError>;

    /// Runs a program.
    fn run(&mut self, program: ProgramId) -> Result<(), DeviceError>;

    /// Forgets a program.
    fn forget(&mut self, program: ProgramId);

    /// Host memory of this device.
    fn host_memory(&self) -> Arc<dyn HostMemory>;

    /// Starts a copy that runs beside the computation; nothing that runs or will be run before it is done uses the target.
    fn stage(&mut self, from: &Arc<dyn HostBytes>, to: u64) -> Result<CopyId, DeviceError>;

    /// Whether it is done. Once it was, the id is not used again.
    fn staged(&mut self, copy: CopyId) -> Result<bool, DeviceError>;
}
