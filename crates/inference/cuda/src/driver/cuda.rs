//! The device behind the driver.

use super::{
    cache::{self, Key},
    context::{Context, Pinned, PinnedMemory, failed},
    nvrtc::Nvrtc,
};
use crate::{
    CopyId, Device, DeviceError, HostBytes, HostMemory, ProgramId, Tier,
    launch::{Kernel, Launch},
    plan::Arena,
    sources::{SOURCES, digest},
};
use cudarc::driver::{
    result::{self, stream::StreamKind},
    sys,
};
use std::{collections::HashMap, ffi::CString, path::Path, sync::Arc};

/// Page-locked memory through which small writes and results pass.
const STAGING: usize = 4 << 20;

/// A CUDA device with the kernels compiled for it.
#[derive(Debug)]
pub struct CudaDevice {
    name: String,
    capability: (i32, i32),
    context: Arc<Context>,
    /// Where everything runs, and where adapters are copied beside it.
    compute: Stream,
    copies: Stream,
    functions: HashMap<Kernel, sys::CUfunction>,
    modules: Vec<sys::CUmodule>,
    allocations: Vec<sys::CUdeviceptr>,
    programs: HashMap<ProgramId, sys::CUgraphExec>,
    staged: HashMap<CopyId, (sys::CUevent, Arc<dyn HostBytes>)>,
    outgoing: Pinned,
    /// Bytes of `outgoing` that copies under way may still read.
    used: usize,
    incoming: Pinned,
    next: u64,
}

// SAFETY: handles of the driver may be used by any thread; every method makes the context current first.
unsafe impl Send for CudaDevice {}

#[derive(Debug)]
struct Stream(sys::CUstream);

impl Stream {
    fn new() -> Result<Self, DeviceError> {
        result::stream::create(StreamKind::NonBlocking).map(Self).map_err(failed("cuStreamCreate"))
    }

    fn synchronize(&self) -> Result<(), DeviceError> {
        // SAFETY: the stream lives as long as `self`.
        unsafe { result::stream::synchronize(self.0) }.map_err(failed("cuStreamSynchronize"))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: created in `new`, destroyed once.
        let _ = unsafe { result::stream::destroy(self.0) };
    }
}

impl CudaDevice {
    /// Opens a device and compiles a tier's kernels for it, or takes them from `cache`. `nvrtc` names the compiler's library where
    /// the linker does not find it.
    pub fn open(
        ordinal: i32,
        nvrtc: Option<&Path>,
        cache: Option<&Path>,
        tier: Tier,
    ) -> Result<Self, DeviceError> {
        let context = Context::open(ordinal)?;
        let nvrtc = Nvrtc::open(nvrtc)?;
        let (major, minor) = context.capability()?;
        tier.check((major, minor))?;
        let arch = architecture(&nvrtc, major * 10 + minor)?;
        let name = format!("cuda-{arch} {} cuda:{ordinal}", context.device_name()?);
        let (compute, copies) = (Stream::new()?, Stream::new()?);
        let (outgoing, incoming) = (Pinned::new(&context, STAGING)?, Pinned::new(&context, STAGING)?);
        let mut device = Self {
            name,
            capability: (major, minor),
            context,
            compute,
            copies,
            functions: HashMap::new(),
            modules: Vec::new(),
            allocations: Vec::new(),
            programs: HashMap::new(),
            staged: HashMap::new(),
            outgoing,
            used: 0,
            incoming,
            next: 0,
        };
        device.load(&nvrtc, &arch, cache, tier)?;
        Ok(device)
    }

    /// Devices that the driver shows.
    pub fn count() -> Result<i32, DeviceError> {
        Context::count()
    }

    fn load(
        &mut self,
        nvrtc: &Nvrtc,
        arch: &str,
        folder: Option<&Path>,
        tier: Tier,
    ) -> Result<(), DeviceError> {
        let driver = self.context.driver();
        for index in tier.sources().iter().copied() {
            let source = &SOURCES[index];
            let key = Key { digest: digest(source), arch, nvrtc: nvrtc.version(), driver };
            let kept = folder.and_then(|folder| cache::load(folder, &key));
            let image = match kept {
                Some(image) => image,
                None => {
                    let image = nvrtc.compile(source, arch)?;
                    if let Some(Err(error)) = folder.map(|folder| cache::store(folder, &key, &image)) {
                        tracing::warn!(%error, "Compiled kernels are not kept");
                    }
                    image
                }
            };
            // SAFETY: the image is a whole cubin, or PTX ending in a zero, straight from the compiler or verified by its hash.
            let module = unsafe { result::module::load_data(image.as_ptr().cast()) }
                .map_err(failed("cuModuleLoadData"))?;
            self.modules.push(module);
            for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.source() == index) {
                self.functions.insert(kernel, function(module, kernel)?);
            }
        }
        Ok(())
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn launch(&self, launch: &Launch) -> Result<(), DeviceError> {
        let call = launch.kernel.name();
        let missing = || DeviceError::Call { call, reason: "not loaded".to_owned() };
        let function = *self.functions.get(&launch.kernel).ok_or_else(missing)?;
        let [x, y, z] = launch.grid;
        // The driver reads parameters at their own alignment, eight at most.
        let mut words: Vec<u64> = launch.params.chunks(8).map(word).collect();
        let mut params = [words.as_mut_ptr().cast()];
        // SAFETY: the kernel has one parameter of this size, copied by the call; its addresses come from arenas of this device,
        // by the contract of `Device`.
        unsafe {
            result::launch_kernel(function, (x, y, z), (launch.threads, 1, 1), 0, self.compute.0, &mut params)
        }
        .map_err(failed(call))
    }

    fn capture(&self, launches: &[Launch]) -> Result<sys::CUgraphExec, DeviceError> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is alive and not being captured.
        unsafe { result::stream::begin_capture(self.compute.0, mode) }
            .map_err(failed("cuStreamBeginCapture"))?;
        let launched = launches.iter().try_for_each(|launch| self.launch(launch));
        // SAFETY: the capture began above; it is ended whatever came of the launches.
        let graph =
            unsafe { result::stream::end_capture(self.compute.0) }.map_err(failed("cuStreamEndCapture"));
        launched?;
        let graph = graph?;
        // SAFETY: the graph is alive until it is destroyed below; what was instantiated does not need it.
        let program = unsafe { result::graph::instantiate(graph, sys::CUgraphInstantiate_flags_enum(0)) };
        // SAFETY: as above.
        let _ = unsafe { result::graph::destroy(graph) };
        program.map_err(failed("cuGraphInstantiate"))
    }
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// A finished module for exactly this device where the compiler knows it, else PTX of the newest it knows that is older.
fn architecture(nvrtc: &Nvrtc, capability: i32) -> Result<String, DeviceError> {
    let known = nvrtc.architectures()?;
    if known.contains(&capability) {
        return Ok(format!("sm_{capability}"));
    }
    let older = known.into_iter().rfind(|arch| *arch <= capability);
    let none = || DeviceError::Nvrtc(format!("it compiles for nothing that capability {capability} runs"));
    older.map(|arch| format!("compute_{arch}")).ok_or_else(none)
}

fn function(module: sys::CUmodule, kernel: Kernel) -> Result<sys::CUfunction, DeviceError> {
    let call = kernel.name();
    let name = CString::new(call).map_err(|error| DeviceError::Call { call, reason: error.to_string() })?;
    // SAFETY: the module was just loaded and is kept.
    let function = unsafe { result::module::get_function(module, name) }.map_err(failed(call))?;
    // Asking for an attribute loads the code, which a capture could not.
    let registers = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_NUM_REGS;
    // SAFETY: the function is the module's.
    unsafe { result::function::get_function_attribute(function, registers) }.map_err(failed(call))?;
    Ok(function)
}

impl Device for CudaDevice {
    fn name(&self) -> &str {
        &self.name
    }

    fn capability(&self) -> (i32, i32) {
        self.capability
    }

    fn free_memory(&self) -> Result<u64, DeviceError> {
        self.context.enter()?;
        result::mem_get_info().map(|(free, _)| free as u64).map_err(failed("cuMemGetInfo"))
    }

    fn allocate(&mut self, arena: &Arena) -> Result<u64, DeviceError> {
        self.context.enter()?;
        let wanted = arena.bytes().max(1);
        // SAFETY: kernels only read what they or the host wrote before.
        let address = unsafe { result::malloc_sync(wanted as usize) }.map_err(|error| {
            match failed("cuMemAlloc")(error) {
                DeviceError::OutOfMemory { free, .. } => DeviceError::OutOfMemory { wanted, free },
                other => other,
            }
        })?;
        self.allocations.push(address);
        Ok(address)
    }

    fn free(&mut self, address: u64) {
        if let Some(index) = self.allocations.iter().position(|other| *other == address) {
            self.allocations.swap_remove(index);
            let _ = self.context.enter();
            // SAFETY: allocated here, freed once; nothing under way uses it, by the contract.
            let _ = unsafe { result::free_sync(address) };
        }
    }

    fn clear(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        self.context.enter()?;
        // SAFETY: the range is the caller's, from `allocate`.
        unsafe { result::memset_d8_async(address, 0, bytes as usize, self.compute.0) }
            .map_err(failed("cuMemsetD8"))
    }

    fn write(&mut self, to: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        self.context.enter()?;
        for (index, piece) in bytes.chunks(STAGING).enumerate() {
            if self.used + piece.len() > STAGING {
                self.compute.synchronize()?;
                self.used = 0;
            }
            let staging = &mut self.outgoing.bytes_mut()[self.used..self.used + piece.len()];
            staging.copy_from_slice(piece);
            let to = to + (index * STAGING) as u64;
            // SAFETY: this part of the staging memory is not touched before the stream was synchronised.
            unsafe { result::memcpy_htod_async(to, staging, self.compute.0) }
                .map_err(failed("cuMemcpyHtoD"))?;
            self.used += piece.len();
        }
        Ok(())
    }

    fn copy(&mut self, from: u64, to: u64, bytes: u64) -> Result<(), DeviceError> {
        self.context.enter()?;
        // SAFETY: both ranges are the caller's, from `allocate`.
        unsafe { result::memcpy_dtod_async(to, from, bytes as usize, self.compute.0) }
            .map_err(failed("cuMemcpyDtoD"))
    }

    fn read(&mut self, parts: &mut [(u64, &mut [u8])]) -> Result<(), DeviceError> {
        self.context.enter()?;
        let total: usize = parts.iter().map(|(_, bytes)| bytes.len()).sum();
        if total > self.incoming.bytes().len() {
            self.incoming = Pinned::new(&self.context, total.next_power_of_two())?;
        }
        let mut rest = self.incoming.bytes_mut();
        for (from, bytes) in parts.iter() {
            let (here, after) = rest.split_at_mut(bytes.len());
            rest = after;
            if here.is_empty() {
                continue;
            }
            // SAFETY: the memory is not touched before the stream was synchronised below.
            unsafe { result::memcpy_dtoh_async(here, *from, self.compute.0) }
                .map_err(failed("cuMemcpyDtoH"))?;
        }
        self.compute.synchronize()?;
        self.used = 0;
        let mut rest = self.incoming.bytes();
        for (_, bytes) in parts {
            let (here, after) = rest.split_at(bytes.len());
            bytes.copy_from_slice(here);
            rest = after;
        }
        Ok(())
    }

    fn program(&mut self, launches: &[Launch]) -> Result<ProgramId, DeviceError> {
        self.context.enter()?;
        let id = ProgramId(self.id());
        let program = self.capture(launches)?;
        self.programs.insert(id, program);
        Ok(id)
    }

    fn run(&mut self, program: ProgramId) -> Result<(), DeviceError> {
        self.context.enter()?;
        let unknown = || DeviceError::Call { call: "cuGraphLaunch", reason: "no such program".to_owned() };
        let graph = *self.programs.get(&program).ok_or_else(unknown)?;
        // SAFETY: the graph is alive; its addresses are those of arenas that are, by the contract.
        unsafe { result::graph::launch(graph, self.compute.0) }.map_err(failed("cuGraphLaunch"))
    }

    fn forget(&mut self, program: ProgramId) {
        if let Some(graph) = self.programs.remove(&program) {
            let _ = self.context.enter();
            // SAFETY: instantiated here, destroyed once; a run under way keeps what it needs.
            let _ = unsafe { result::graph::exec_destroy(graph) };
        }
    }

    fn host_memory(&self) -> Arc<dyn HostMemory> {
        Arc::new(PinnedMemory(Arc::clone(&self.context)))
    }

    fn stage(&mut self, from: &Arc<dyn HostBytes>, to: u64) -> Result<CopyId, DeviceError> {
        self.context.enter()?;
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)
            .map_err(failed("cuEventCreate"))?;
        let id = CopyId(self.id());
        self.staged.insert(id, (event, Arc::clone(from)));
        // SAFETY: the source is kept until the event has come; nothing uses the target, by the contract.
        unsafe { result::memcpy_htod_async(to, from.bytes(), self.copies.0) }
            .map_err(failed("cuMemcpyHtoD"))?;
        // SAFETY: event and stream are alive.
        unsafe { result::event::record(event, self.copies.0) }.map_err(failed("cuEventRecord"))?;
        Ok(id)
    }

    fn staged(&mut self, copy: CopyId) -> Result<bool, DeviceError> {
        self.context.enter()?;
        let Some((event, _)) = self.staged.get(&copy) else { return Ok(true) };
        // SAFETY: the event is alive.
        match unsafe { result::event::query(*event) } {
            Err(error) if error.0 == sys::CUresult::CUDA_ERROR_NOT_READY => return Ok(false),
            other => other.map_err(failed("cuEventQuery"))?,
        }
        if let Some((event, _)) = self.staged.remove(&copy) {
            // SAFETY: created in `stage`, destroyed once.
            let _ = unsafe { result::event::destroy(event) };
        }
        Ok(true)
    }
}

impl Drop for CudaDevice {
    fn drop(&mut self) {
        // Errors here mean that the device is lost, and all of this with it.
        let _ = self.context.enter();
        let _ = self.compute.synchronize();
        let _ = self.copies.synchronize();
        for (event, _) in self.staged.values() {
            // SAFETY: created in `stage`, destroyed once.
            let _ = unsafe { result::event::destroy(*event) };
        }
        for graph in self.programs.values() {
            // SAFETY: instantiated in `program`, destroyed once.
            let _ = unsafe { result::graph::exec_destroy(*graph) };
        }
        for address in &self.allocations {
            // SAFETY: allocated here, freed once, and the streams are idle.
            let _ = unsafe { result::free_sync(*address) };
        }
        for module in &self.modules {
            // SAFETY: loaded in `load`, unloaded once.
            let _ = unsafe { result::module::unload(*module) };
        }
    }
}
