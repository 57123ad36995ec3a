//! A device's primary context, and what the driver's errors mean.

use crate::{DeviceError, HostBytes, HostMemory};
use cudarc::driver::{DriverError, result, sys};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::NonNull,
    sync::Arc,
};

/// The oldest driver whose functions suffice: graphs, ordered streams, minor-version compatibility.
const OLDEST: i32 = 12_000;

/// A retained primary context. Released when the last who uses it is gone.
pub(super) struct Context {
    device: sys::CUdevice,
    context: sys::CUcontext,
    driver: i32,
}

// SAFETY: a context may be used by any thread that makes it current; the driver synchronises.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context(device {}, driver {})", self.device, self.driver)
    }
}

impl Context {
    /// The primary context of a device, if there is a driver that is new enough and the device can run the kernels.
    pub(super) fn open(ordinal: i32) -> Result<Arc<Self>, DeviceError> {
        // A driver that lacks a function makes the bindings panic; here that is one more way of not being there.
        let opened = catch_unwind(AssertUnwindSafe(|| Self::open_present(ordinal)));
        opened
            .unwrap_or_else(|_| Err(DeviceError::Absent("the driver lacks functions of CUDA 12".to_owned())))
    }

    /// Devices that the driver shows.
    pub(super) fn count() -> Result<i32, DeviceError> {
        let counted = catch_unwind(AssertUnwindSafe(|| Ok(Self::driver_and_count()?.1)));
        counted
            .unwrap_or_else(|_| Err(DeviceError::Absent("the driver lacks functions of CUDA 12".to_owned())))
    }

    /// The driver's version, if it is new enough, and how many devices it shows.
    fn driver_and_count() -> Result<(i32, i32), DeviceError> {
        // SAFETY: only opens the library, whose initialisers have no requirements.
        if !unsafe { sys::is_culib_present() } {
            return Err(DeviceError::Absent("libcuda is not installed".to_owned()));
        }
        result::init().map_err(|error| DeviceError::Absent(text(error)))?;
        let mut driver = 0;
        // SAFETY: the pointer is valid.
        unsafe { sys::cuDriverGetVersion(&raw mut driver) }.result().map_err(failed("cuDriverGetVersion"))?;
        if driver < OLDEST {
            return Err(DeviceError::Driver { found: driver, needed: OLDEST });
        }
        Ok((driver, result::device::get_count().map_err(failed("cuDeviceGetCount"))?))
    }

    fn open_present(ordinal: i32) -> Result<Arc<Self>, DeviceError> {
        let (driver, count) = Self::driver_and_count()?;
        if ordinal >= count {
            return Err(DeviceError::Absent(format!("device {ordinal} of {count}")));
        }
        let device = result::device::get(ordinal).map_err(failed("cuDeviceGet"))?;
        // SAFETY: the device is one that the driver gave.
        let context =
            unsafe { result::primary_ctx::retain(device) }.map_err(failed("cuDevicePrimaryCtxRetain"))?;
        let context = Arc::new(Self { device, context, driver });
        let (major, minor) = context.capability()?;
        if major < 8 {
            return Err(DeviceError::Capability { major, minor });
        }
        context.enter()?;
        Ok(context)
    }

    /// Makes it the calling thread's.
    pub(super) fn enter(&self) -> Result<(), DeviceError> {
        // SAFETY: the context is retained as long as `self` lives.
        unsafe { result::ctx::set_current(self.context) }.map_err(failed("cuCtxSetCurrent"))
    }

    pub(super) const fn driver(&self) -> i32 {
        self.driver
    }

    pub(super) fn capability(&self) -> Result<(i32, i32), DeviceError> {
        use sys::CUdevice_attribute::{
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR,
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
        };
        // SAFETY: the device is one that the driver gave.
        let get = |which| unsafe { result::device::get_attribute(self.device, which) };
        let read = |which| get(which).map_err(failed("cuDeviceGetAttribute"));
        Ok((read(MAJOR)?, read(MINOR)?))
    }

    pub(super) fn device_name(&self) -> Result<String, DeviceError> {
        result::device::get_name(self.device).map_err(failed("cuDeviceGetName"))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained once in `open`. A failure means that the driver is going down, and the context with it.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

fn text(error: DriverError) -> String {
    let what = error.error_string().map(|text| text.to_string_lossy().into_owned());
    format!("{:?}{}", error.0, what.map(|what| format!(", {what}")).unwrap_or_default())
}

/// What a failed call means for who made it.
pub(super) fn failed(call: &'static str) -> impl Fn(DriverError) -> DeviceError {
    use sys::CUresult as E;
    move |error| match error.0 {
        E::CUDA_ERROR_OUT_OF_MEMORY => {
            let free = result::mem_get_info().map_or(0, |(free, _)| free as u64);
            DeviceError::OutOfMemory { wanted: 0, free }
        }
        E::CUDA_ERROR_DEVICE_UNAVAILABLE
        | E::CUDA_ERROR_ECC_UNCORRECTABLE
        | E::CUDA_ERROR_NVLINK_UNCORRECTABLE
        | E::CUDA_ERROR_ILLEGAL_ADDRESS
        | E::CUDA_ERROR_LAUNCH_TIMEOUT
        | E::CUDA_ERROR_CONTEXT_IS_DESTROYED
        | E::CUDA_ERROR_ASSERT
        | E::CUDA_ERROR_HARDWARE_STACK_ERROR
        | E::CUDA_ERROR_ILLEGAL_INSTRUCTION
        | E::CUDA_ERROR_MISALIGNED_ADDRESS
        | E::CUDA_ERROR_LAUNCH_FAILED
        | E::CUDA_ERROR_DEINITIALIZED => DeviceError::Lost(format!("{call}: {}", text(error))),
        _ => DeviceError::Call { call, reason: text(error) },
    }
}

/// Page-locked host memory.
#[derive(Debug)]
pub(super) struct Pinned {
    start: NonNull<u8>,
    bytes: usize,
    context: Arc<Context>,
}

// SAFETY: plain memory, read by anybody through `&` and written only through `&mut`.
unsafe impl Send for Pinned {}
// SAFETY: as above.
unsafe impl Sync for Pinned {}

impl Pinned {
    pub(super) fn new(context: &Arc<Context>, bytes: usize) -> Result<Self, DeviceError> {
        context.enter()?;
        // Usable from every context, and readable by the device in place.
        let flags = sys::CU_MEMHOSTALLOC_PORTABLE | sys::CU_MEMHOSTALLOC_DEVICEMAP;
        // SAFETY: the memory is zeroed below before anybody reads it.
        let start = unsafe { result::malloc_host(bytes.max(1), flags) }.map_err(failed("cuMemHostAlloc"))?;
        let start = NonNull::new(start.cast::<u8>())
            .ok_or_else(|| DeviceError::Call { call: "cuMemHostAlloc", reason: "gave nothing".to_owned() })?;
        // SAFETY: so many bytes were allocated.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Self { start, bytes, context: Arc::clone(context) })
    }
}

impl HostBytes for Pinned {
    fn bytes(&self) -> &[u8] {
        // SAFETY: allocated with this size and zeroed; nobody writes but through `&mut self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }

    fn address(&self) -> u64 {
        // With unified addressing, which every device of capability 8 has, mapped host memory has one address.
        self.start.as_ptr() as u64
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.context.enter();
        // SAFETY: allocated in `new`; whoever copies from it keeps it alive until the copy is done.
        if let Err(error) = unsafe { result::free_host(self.start.as_ptr().cast()) } {
            // Where the context is broken that may be so; the memory stays taken then.
            tracing::warn!(%error, bytes = self.bytes, "Page-locked memory could not be freed");
        }
    }
}

/// Gives page-locked memory on any thread.
#[derive(Debug)]
pub(super) struct PinnedMemory(pub(super) Arc<Context>);

impl HostMemory for PinnedMemory {
    fn allocate(&self, bytes: usize) -> Result<Box<dyn HostBytes>, DeviceError> {
        Ok(Box::new(Pinned::new(&self.0, bytes)?))
    }
}
