//! Files of this machine that uris name. Uris come from the registry, so from strangers.

use crate::error::AdapterError;
use std::path::{Path, PathBuf};
use tributary_io::FileError;

/// Which folders of this machine a `file:` uri may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileRoots {
    /// Any folder: a node of one's own, or a dev chain.
    Any,
    /// Folders beneath these, and files, links resolved: what a link leads to has to be beneath them, too. Empty: no `file:` uri at all.
    Under(Vec<PathBuf>),
}

impl FileRoots {
    /// All of a file that is open and has `limit` bytes at most.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, AdapterError> {
        let Self::Under(roots) = self else { return read(path, limit) };
        for root in roots {
            match tributary_io::read_beneath(root, path, limit) {
                Err(FileError::Outside(_)) => {}
                read => return read.map_err(|error| unreadable(path, error)),
            }
        }
        Err(closed(path))
    }
}

/// All of a regular file that has `limit` bytes at most.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, AdapterError> {
    tributary_io::read(path, limit).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: FileError) -> AdapterError {
    let what = path.display().to_string();
    match error {
        FileError::TooLarge { bytes, limit } => AdapterError::TooLarge { what, bytes, limit },
        error => AdapterError::Io { path: what, reason: error.to_string() },
    }
}

fn closed(path: &Path) -> AdapterError {
    AdapterError::Uri {
        uri: path.display().to_string().chars().take(256).collect(),
        reason: "it is, or leads, outside the folders open to file uris".to_owned(),
    }
}
