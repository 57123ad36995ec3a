//! NVIDIA's runtime compiler, opened when it is there.

use crate::{
    DeviceError,
    sources::{HEADERS, NO_WARNINGS, OPTIONS, Source},
};
use libloading::{Library, Symbol};
use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    path::{Path, PathBuf},
    ptr,
};

/// What it is called, newest first.
const NAMES: [&str; 3] = ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"];
/// Where it may be besides the linker's own folders.
const FOLDERS: [&str; 3] =
    ["/usr/local/cuda/lib64", "/opt/cuda/lib64", "/usr/local/cuda/targets/x86_64-linux/lib"];

type Program = *mut c_void;
type Create = unsafe extern "C" fn(
    *mut Program,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> c_int;
type Compile = unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int;
type Size = unsafe extern "C" fn(Program, *mut usize) -> c_int;
type Get = unsafe extern "C" fn(Program, *mut c_char) -> c_int;
type Destroy = unsafe extern "C" fn(*mut Program) -> c_int;
type Version = unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int;
type Archs = unsafe extern "C" fn(*mut c_int) -> c_int;

/// The compiler.
#[derive(Debug)]
pub struct Nvrtc {
    library: Library,
    version: (i32, i32),
}

impl Nvrtc {
    /// Opens the first there is: `path` if given, else one of the system's.
    pub fn open(path: Option<&Path>) -> Result<Self, DeviceError> {
        let candidates: Vec<PathBuf> = match path {
            Some(path) => vec![path.to_owned()],
            None => {
                let named = NAMES.iter().map(PathBuf::from);
                let placed =
                    FOLDERS.iter().flat_map(|folder| NAMES.iter().map(|name| Path::new(folder).join(name)));
                named.chain(placed).collect()
            }
        };
        let mut reason = String::new();
        for candidate in candidates {
            // SAFETY: NVRTC's initialisers have no requirements; a library of another kind fails at the first symbol.
            match unsafe { Library::new(&candidate) } {
                Ok(library) => return Self::new(library),
                Err(error) if reason.is_empty() => reason = error.to_string(),
                Err(_) => {}
            }
        }
        Err(DeviceError::Nvrtc(reason))
    }

    fn new(library: Library) -> Result<Self, DeviceError> {
        let mut nvrtc = Self { library, version: (0, 0) };
        let (mut major, mut minor) = (0, 0);
        // SAFETY: the symbol has this type by NVRTC's documentation, and both pointers are valid.
        let code = unsafe { nvrtc.symbol::<Version>("nvrtcVersion")?(&raw mut major, &raw mut minor) };
        check("nvrtcVersion", code)?;
        nvrtc.version = (major, minor);
        Ok(nvrtc)
    }

    /// Major and minor version.
    pub const fn version(&self) -> (i32, i32) {
        self.version
    }

    /// Compute capabilities it compiles for, `10 · major + minor`, ascending.
    pub fn architectures(&self) -> Result<Vec<i32>, DeviceError> {
        let mut count = 0;
        // SAFETY: the symbol has this type, and the pointer is valid.
        let code = unsafe { self.symbol::<Archs>("nvrtcGetNumSupportedArchs")?(&raw mut count) };
        check("nvrtcGetNumSupportedArchs", code)?;
        let mut archs = vec![0; usize::try_from(count).unwrap_or(0)];
        // SAFETY: the symbol has this type, and the array is as long as NVRTC said.
        let code = unsafe { self.symbol::<Archs>("nvrtcGetSupportedArchs")?(archs.as_mut_ptr()) };
        check("nvrtcGetSupportedArchs", code)?;
        archs.sort_unstable();
        Ok(archs)
    }

    /// Compiles a source for an architecture: PTX for `compute_90`, a finished module for `sm_90`.
    pub fn compile(&self, source: &Source, arch: &str) -> Result<Vec<u8>, DeviceError> {
        let program = self.create(source)?;
        let options: Vec<CString> = OPTIONS
            .into_iter()
            .chain((self.version.0 >= 13).then_some(NO_WARNINGS))
            .map(str::to_owned)
            .chain([format!("--gpu-architecture={arch}")])
            .map(text)
            .collect::<Result<_, _>>()?;
        let pointers: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        // SAFETY: the symbol has this type, the program is alive, and the options outlive the call.
        let code = unsafe {
            self.symbol::<Compile>("nvrtcCompileProgram")?(
                program.handle,
                pointers.len() as c_int,
                pointers.as_ptr(),
            )
        };
        if code != 0 {
            let log = self.output(&program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog")?;
            let log = CStr::from_bytes_until_nul(&log).map(|log| log.to_string_lossy().trim().to_owned());
            let (source_file, log) = (source.0, log.unwrap_or_default());
            return Err(DeviceError::Compile { source_file, arch: arch.to_owned(), log });
        }
        if arch.starts_with("sm_") {
            self.output(&program, "nvrtcGetCUBINSize", "nvrtcGetCUBIN")
        } else {
            self.output(&program, "nvrtcGetPTXSize", "nvrtcGetPTX")
        }
    }

    fn create(&self, source: &Source) -> Result<Owned<'_>, DeviceError> {
        let texts = HEADERS.iter().map(|header| text(header.1.to_owned())).collect::<Result<Vec<_>, _>>()?;
        let names = HEADERS.iter().map(|header| text(header.0.to_owned())).collect::<Result<Vec<_>, _>>()?;
        let (name, body) = (text(source.0.to_owned())?, text(source.1.to_owned())?);
        let text_pointers: Vec<*const c_char> = texts.iter().map(|text| text.as_ptr()).collect();
        let name_pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let mut handle = ptr::null_mut();
        // SAFETY: the symbol has this type; all strings end in a zero and outlive the call, which copies them.
        let code = unsafe {
            self.symbol::<Create>("nvrtcCreateProgram")?(
                &raw mut handle,
                body.as_ptr(),
                name.as_ptr(),
                HEADERS.len() as c_int,
                text_pointers.as_ptr(),
                name_pointers.as_ptr(),
            )
        };
        check("nvrtcCreateProgram", code)?;
        Ok(Owned { nvrtc: self, handle })
    }

    fn output(
        &self,
        program: &Owned<'_>,
        size: &'static str,
        get: &'static str,
    ) -> Result<Vec<u8>, DeviceError> {
        let mut bytes = 0;
        // SAFETY: the symbol has this type, and the program is alive.
        check(size, unsafe { self.symbol::<Size>(size)?(program.handle, &raw mut bytes) })?;
        let mut out = vec![0u8; bytes];
        // SAFETY: the symbol has this type, and the buffer is as long as NVRTC said.
        check(get, unsafe { self.symbol::<Get>(get)?(program.handle, out.as_mut_ptr().cast()) })?;
        Ok(out)
    }

    /// # Safety
    ///
    /// `T` is the function's type.
    unsafe fn symbol<T>(&self, name: &str) -> Result<Symbol<'_, T>, DeviceError> {
        // SAFETY: by this function's own promise.
        unsafe { self.library.get(name) }.map_err(|error| DeviceError::Nvrtc(error.to_string()))
    }
}

/// A program, destroyed when dropped.
struct Owned<'a> {
    nvrtc: &'a Nvrtc,
    handle: Program,
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        // SAFETY: the symbol has this type, and the program is alive and not used afterwards.
        if let Ok(destroy) = unsafe { self.nvrtc.symbol::<Destroy>("nvrtcDestroyProgram") } {
            // SAFETY: as above.
            unsafe { destroy(&raw mut self.handle) };
        }
    }
}

fn text(value: String) -> Result<CString, DeviceError> {
    CString::new(value)
        .map_err(|error| DeviceError::Call { call: "nvrtcCreateProgram", reason: error.to_string() })
}

fn check(call: &'static str, code: c_int) -> Result<(), DeviceError> {
    if code == 0 { Ok(()) } else { Err(DeviceError::Call { call, reason: format!("NVRTC error {code}") }) }
}
