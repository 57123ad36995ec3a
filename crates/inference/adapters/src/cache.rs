//! Fetched artifacts on disk, one folder per hash, oldest dropped first.

use crate::{
    artifact::{Artifact, Bounds, CONFIG_FILE, TENSORS_FILE},
    error::AdapterError,
};
use alloy_primitives::B256;
use parking_lot::Mutex;
use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// A folder of artifacts by hash.
#[derive(Debug)]
pub(crate) struct DiskCache {
    root: PathBuf,
    budget: u64,
    /// Held while entries are added and dropped, so that two writers do not evict against each other.
    writing: Mutex<()>,
}

impl DiskCache {
    pub(crate) fn open(root: PathBuf, budget: u64) -> Result<Self, AdapterError> {
        fs::create_dir_all(&root).map_err(|error| AdapterError::io(&root, &error))?;
        Ok(Self { root, budget, writing: Mutex::new(()) })
    }

    fn folder(&self, hash: B256) -> PathBuf {
        self.root.join(format!("{hash:x}"))
    }

    /// The artifact if it is there and intact. A damaged one is dropped, to be fetched again.
    pub(crate) fn get(&self, hash: B256, bounds: &Bounds) -> Option<Artifact> {
        let folder = self.folder(hash);
        if !folder.is_dir() {
            return None;
        }
        match Artifact::read(&folder, bounds).and_then(|artifact| artifact.verify(hash).map(|()| artifact)) {
            Ok(artifact) => {
                touch(&folder);
                Some(artifact)
            }
            Err(error) => {
                tracing::warn!(%hash, %error, "Cached adapter is damaged, dropping it");
                let _guard = self.writing.lock();
                // A failure shows when the entry is written again.
                drop(fs::remove_dir_all(&folder));
                None
            }
        }
    }

    /// Adds an artifact atomically: a crash leaves a temporary folder, never half an entry.
    pub(crate) fn put(&self, hash: B256, artifact: &Artifact) -> Result<(), AdapterError> {
        let _guard = self.writing.lock();
        let io = |error: std::io::Error| AdapterError::io(&self.root, &error);
        let folder = self.folder(hash);
        if folder.exists() {
            return Ok(());
        }
        self.evict(artifact.config().len() as u64 + artifact.tensors().len() as u64)?;
        let staged = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.root).map_err(io)?;
        fs::write(staged.path().join(CONFIG_FILE), artifact.config()).map_err(io)?;
        fs::write(staged.path().join(TENSORS_FILE), artifact.tensors()).map_err(io)?;
        fs::rename(staged.keep(), folder).map_err(io)
    }

    fn evict(&self, incoming: u64) -> Result<(), AdapterError> {
        let mut entries = self.entries()?;
        entries.sort_by_key(|entry| entry.used);
        let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
        for entry in entries {
            if total + incoming <= self.budget {
                break;
            }
            fs::remove_dir_all(&entry.folder).map_err(|error| AdapterError::io(&entry.folder, &error))?;
            total -= entry.bytes;
        }
        Ok(())
    }

    fn entries(&self) -> Result<Vec<Entry>, AdapterError> {
        let listing = fs::read_dir(&self.root).map_err(|error| AdapterError::io(&self.root, &error))?;
        Ok(listing.flatten().filter_map(|entry| Entry::read(entry.path())).collect())
    }
}

struct Entry {
    folder: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl Entry {
    fn read(folder: PathBuf) -> Option<Self> {
        let size = |name| fs::metadata(folder.join(name)).map_or(0, |meta| meta.len());
        let bytes = size(CONFIG_FILE) + size(TENSORS_FILE);
        let used = fs::metadata(&folder).ok().filter(fs::Metadata::is_dir)?.modified().ok()?;
        Some(Self { folder, bytes, used })
    }
}

/// Marks an entry as used; where it fails the entry only looks older than it is.
fn touch(folder: &Path) {
    if let Ok(file) = fs::File::open(folder) {
        drop(file.set_modified(SystemTime::now()));
    }
}
