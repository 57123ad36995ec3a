//! A device that runs the kernels' own sources on the CPU.
//!
//! `kernels/emulator` says what CUDA's builtins mean; the system's C++ compiler makes a library of it all, once for each way of
//! checking. Everything above [`Device`] is the code that drives a GPU.

use crate::model::backend_on;
use libloading::{Library, Symbol};
use std::{
    collections::HashMap,
    ffi::{CStr, CString, c_char, c_int, c_void},
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tributary_cuda::{
    CopyId, CudaBackend, Device, DeviceError, HostBytes, HostMemory, ProgramId,
    launch::Launch,
    plan::{Arena, Region},
    sources::SOURCES,
};
use tributary_weights::{Config, Weights};

/// How the kernels are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Every access is checked against regions and against other threads' accesses.
    Shadow,
    /// The address and undefined-behaviour sanitizers; the process has to be started with their runtime.
    Sanitizers,
}

impl Watch {
    const fn name(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Sanitizers => "sanitizers",
        }
    }

    const fn kernel_flags(self) -> &'static [&'static str] {
        match self {
            Self::Shadow => &["-O1", "-DTRIBUTARY_SHADOW", "-fsanitize=thread"],
            Self::Sanitizers => SANITIZERS,
        }
    }

    const fn runtime_flags(self) -> &'static [&'static str] {
        match self {
            Self::Shadow => &["-O2", "-DTRIBUTARY_SHADOW"],
            Self::Sanitizers => SANITIZERS,
        }
    }
}

const SANITIZERS: &[&str] = &["-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
/// Arithmetic as written, warnings as errors.
const COMMON: &[&str] =
    &["-std=c++17", "-fPIC", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-DTRIBUTARY_EMULATED"];

/// One kernel at a time, and one library: its state is global.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn kernels_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../kernels").canonicalize().unwrap()
}

/// The library for a way of watching, compiled when it is first asked for.
pub(crate) fn library(watch: Watch) -> &'static Library {
    static SHADOW: OnceLock<Library> = OnceLock::new();
    static SANITIZED: OnceLock<Library> = OnceLock::new();
    let cell = match watch {
        Watch::Shadow => &SHADOW,
        Watch::Sanitizers => &SANITIZED,
    };
    cell.get_or_init(|| {
        let kernels = kernels_folder();
        let sources: Vec<PathBuf> = SOURCES.iter().map(|(name, _)| kernels.join(name)).collect();
        compiled(watch, &sources)
    })
}

/// Compiles kernels and the runtime, and opens the library; its file is not needed after that.
pub(crate) fn compiled(watch: Watch, sources: &[PathBuf]) -> Library {
    let path = build(watch, sources);
    // SAFETY: its initialisers only list kernels.
    let library = unsafe { Library::new(&path) }.unwrap();
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    library
}

fn build(watch: Watch, sources: &[PathBuf]) -> PathBuf {
    let kernels = kernels_folder();
    let folder = tempfile::Builder::new()
        .prefix(&format!("emulator-{}-", watch.name()))
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .unwrap()
        .keep();
    let mut objects = Vec::new();
    let mut running: Vec<(String, Child)> = Vec::new();
    let mut compile = |source: &Path, flags: &[&str]| {
        let name = source.file_name().unwrap().to_string_lossy().into_owned();
        let object = folder.join(format!("{name}.o"));
        let mut command = Command::new("g++");
        command.args(COMMON).args(flags).arg("-I").arg(&kernels).args(["-x", "c++", "-c"]).arg(source);
        command.arg("-o").arg(&object);
        running.push((name, command.spawn().expect("g++, which make setup installs")));
        objects.push(object);
    };
    sources.iter().for_each(|path| compile(path, watch.kernel_flags()));
    for name in ["runtime.cpp", "shadow.cpp"] {
        compile(&kernels.join("emulator").join(name), watch.runtime_flags());
    }
    for (name, mut child) in running {
        assert!(child.wait().unwrap().success(), "{name} does not compile");
    }
    let library = folder.join("emulator.so");
    let mut link = Command::new("g++");
    if watch == Watch::Sanitizers {
        link.args(SANITIZERS);
    }
    assert!(link.arg("-shared").args(&objects).arg("-o").arg(&library).status().unwrap().success());
    for object in objects {
        fs::remove_file(object).unwrap();
    }
    library
}

type Alloc =
    unsafe extern "C" fn(u64, u32, *const u64, *const u64, *const u8, *const *const c_char) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void);
type Run = unsafe extern "C" fn(
    *const c_char,
    *const u32,
    u32,
    *const c_void,
    u32,
    c_int,
    *mut c_char,
    u32,
) -> c_int;
type Params = unsafe extern "C" fn(*const c_char) -> u32;

/// # Safety
///
/// `T` is the function's type.
unsafe fn symbol<'a, T>(library: &'a Library, name: &str) -> Symbol<'a, T> {
    // SAFETY: by this function's own promise.
    unsafe { library.get(name) }.unwrap()
}

/// Bytes of a kernel's parameters as the compiler laid them out.
pub(crate) fn params_size(library: &Library, kernel: &str) -> u32 {
    let name = CString::new(kernel).unwrap();
    // SAFETY: the function has this type, and the name ends in a zero.
    unsafe { symbol::<Params>(library, "emulator_params")(name.as_ptr()) }
}

pub(crate) fn allocate(library: &Library, regions: &[Region], bytes: u64) -> u64 {
    let _turn = turn();
    let starts: Vec<u64> = regions.iter().map(|region| region.offset).collect();
    let sizes: Vec<u64> = regions.iter().map(|region| region.bytes).collect();
    let constant: Vec<u8> = regions.iter().map(|region| u8::from(region.constant)).collect();
    let names: Vec<CString> = regions.iter().map(|region| CString::new(region.name).unwrap()).collect();
    let pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the function has this type; all arrays are as long as `regions`.
    let address = unsafe {
        symbol::<Alloc>(library, "emulator_alloc")(
            bytes,
            regions.len() as u32,
            starts.as_ptr(),
            sizes.as_ptr(),
            constant.as_ptr(),
            pointers.as_ptr(),
        )
    };
    assert!(!address.is_null());
    address as u64
}

fn release(library: &Library, address: u64) {
    let _turn = turn();
    // SAFETY: the function has this type; the address came from `allocate`.
    unsafe { symbol::<Free>(library, "emulator_free")(address as *mut c_void) };
}

pub(crate) fn launch(library: &Library, name: &str, launch: &Launch, backwards: bool) -> Result<(), String> {
    let _turn = turn();
    let name = CString::new(name).unwrap();
    let mut error = [0u8; 512];
    // SAFETY: the function has this type; parameters and error buffer are as long as said.
    let code = unsafe {
        symbol::<Run>(library, "emulator_launch")(
            name.as_ptr(),
            launch.grid.as_ptr(),
            launch.threads,
            launch.params.as_ptr().cast(),
            launch.params.len() as u32,
            c_int::from(backwards),
            error.as_mut_ptr().cast(),
            error.len() as u32,
        )
    };
    let text = CStr::from_bytes_until_nul(&error).unwrap().to_string_lossy().into_owned();
    if code == 0 { Ok(()) } else { Err(text) }
}

/// What goes wrong, and when.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    /// The device is lost at its so-manieth program.
    pub(crate) lost_at: Option<usize>,
    /// Bytes of memory it has; 0: without end.
    pub(crate) memory: u64,
    /// How often a copy beside the work is asked for before it is done.
    pub(crate) copy_polls: usize,
    /// Its compute capability, if it is not 9.0.
    pub(crate) capability: Option<(i32, i32)>,
}

/// The device.
#[derive(Debug)]
pub(crate) struct Emulator {
    library: &'static Library,
    trouble: Trouble,
    /// Blocks, warps and lanes the other way round.
    backwards: bool,
    arenas: HashMap<u64, u64>,
    programs: HashMap<ProgramId, Vec<Launch>>,
    copies: HashMap<CopyId, Copying>,
    next: u64,
    /// Programs that were run.
    pub(crate) runs: Arc<AtomicUsize>,
    /// Copies that were begun, for tests.
    pub(crate) staged: Arc<Mutex<usize>>,
}

#[derive(Debug)]
struct Copying {
    polls: usize,
    from: Arc<dyn HostBytes>,
    to: u64,
}

impl Emulator {
    pub(crate) fn new(watch: Watch) -> Self {
        Self::with(watch, Trouble::default(), false)
    }

    pub(crate) fn with(watch: Watch, trouble: Trouble, backwards: bool) -> Self {
        Self {
            library: library(watch),
            trouble,
            backwards,
            arenas: HashMap::new(),
            programs: HashMap::new(),
            copies: HashMap::new(),
            next: 0,
            runs: Arc::default(),
            staged: Arc::default(),
        }
    }

    fn used(&self) -> u64 {
        self.arenas.values().sum()
    }

    fn fail(call: &'static str, reason: String) -> DeviceError {
        DeviceError::Call { call, reason }
    }
}

/// A backend on the emulated device.
pub(crate) fn backend(config: &Config, weights: &Weights) -> CudaBackend {
    backend_on(Emulator::new(Watch::Shadow), config, weights)
}

/// Copies to device memory.
fn put(to: u64, bytes: &[u8]) {
    // SAFETY: the backend writes within what it allocated; that it does so is what the sanitizers look at.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len()) };
}

impl Device for Emulator {
    fn name(&self) -> &str {
        "cuda-emulated"
    }

    fn capability(&self) -> (i32, i32) {
        self.trouble.capability.unwrap_or((9, 0))
    }

    fn free_memory(&self) -> Result<u64, DeviceError> {
        Ok(match self.trouble.memory {
            0 => 8 << 30,
            memory => memory.saturating_sub(self.used()),
        })
    }

    fn allocate(&mut self, arena: &Arena) -> Result<u64, DeviceError> {
        let free = self.free_memory()?;
        if arena.bytes() > free {
            return Err(DeviceError::OutOfMemory { wanted: arena.bytes(), free });
        }
        let address = allocate(self.library, arena.regions(), arena.bytes());
        self.arenas.insert(address, arena.bytes());
        Ok(address)
    }

    fn free(&mut self, address: u64) {
        assert!(self.arenas.remove(&address).is_some(), "freed twice");
        release(self.library, address);
    }

    fn clear(&mut self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        put(address, &vec![0; bytes as usize]);
        Ok(())
    }

    fn write(&mut self, to: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        put(to, bytes);
        Ok(())
    }

    fn copy(&mut self, from: u64, to: u64, bytes: u64) -> Result<(), DeviceError> {
        // SAFETY: as `put`.
        let source = unsafe { std::slice::from_raw_parts(from as *const u8, bytes as usize) };
        put(to, source);
        Ok(())
    }

    fn read(&mut self, parts: &mut [(u64, &mut [u8])]) -> Result<(), DeviceError> {
        for (from, bytes) in parts.iter_mut().filter(|(_, bytes)| !bytes.is_empty()) {
            // SAFETY: as `put`.
            let source = unsafe { std::slice::from_raw_parts(*from as *const u8, bytes.len()) };
            bytes.copy_from_slice(source);
        }
        Ok(())
    }

    fn program(&mut self, launches: &[Launch]) -> Result<ProgramId, DeviceError> {
        self.next += 1;
        self.programs.insert(ProgramId(self.next), launches.to_vec());
        Ok(ProgramId(self.next))
    }

    fn run(&mut self, program: ProgramId) -> Result<(), DeviceError> {
        let runs = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        if self.trouble.lost_at.is_some_and(|at| runs >= at) {
            return Err(DeviceError::Lost("pulled out".to_owned()));
        }
        for each in &self.programs[&program] {
            launch(self.library, each.kernel.name(), each, self.backwards)
                .map_err(|reason| Self::fail(each.kernel.name(), reason))?;
        }
        Ok(())
    }

    fn forget(&mut self, program: ProgramId) {
        assert!(self.programs.remove(&program).is_some(), "forgotten twice");
    }

    fn host_memory(&self) -> Arc<dyn HostMemory> {
        Arc::new(Host(self.library))
    }

    fn stage(&mut self, from: &Arc<dyn HostBytes>, to: u64) -> Result<CopyId, DeviceError> {
        *self.staged.lock().unwrap() += 1;
        self.next += 1;
        // Until it is done the target is garbage.
        put(to, &vec![0xee; from.bytes().len()]);
        let copying = Copying { polls: self.trouble.copy_polls, from: Arc::clone(from), to };
        self.copies.insert(CopyId(self.next), copying);
        Ok(CopyId(self.next))
    }

    fn staged(&mut self, copy: CopyId) -> Result<bool, DeviceError> {
        let copying = self.copies.get_mut(&copy).expect("a copy that was begun and is not done");
        if copying.polls > 0 {
            copying.polls -= 1;
            return Ok(false);
        }
        put(copying.to, copying.from.bytes());
        self.copies.remove(&copy);
        Ok(true)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.arenas.keys().for_each(|address| release(self.library, *address));
    }
}

#[derive(Debug)]
struct Host(&'static Library);

#[derive(Debug)]
struct Bytes {
    library: &'static Library,
    address: u64,
    len: usize,
}

impl HostMemory for Host {
    fn allocate(&self, bytes: usize) -> Result<Box<dyn HostBytes>, DeviceError> {
        let region = Region { name: "host memory", offset: 0, bytes: bytes as u64, constant: true };
        let address = allocate(self.0, &[region], bytes as u64);
        put(address, &vec![0; bytes]);
        Ok(Box::new(Bytes { library: self.0, address, len: bytes }))
    }
}

impl HostBytes for Bytes {
    fn bytes(&self) -> &[u8] {
        // SAFETY: allocated with this size, written only through `&mut self`.
        unsafe { std::slice::from_raw_parts(self.address as *const u8, self.len) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.address as *mut u8, self.len) }
    }

    fn address(&self) -> u64 {
        self.address
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        release(self.library, self.address);
    }
}
