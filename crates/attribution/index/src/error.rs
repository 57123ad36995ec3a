//! What can go wrong, by what to do about it.

use std::path::PathBuf;

/// Why a segment could not be built, opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The disk refused; try again when it is well (full disks land here too).
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is truncated, damaged or of another version: build it anew.
    #[error("{path}: {why}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The tokens of a contribution could not be had: its adapters cannot be served now.
    #[error("tokens of contribution {contribution}: {source}")]
    Load {
        /// The contribution.
        contribution: u64,
        /// What the loader said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The tokens are not those that were put on chain.
    #[error("the tokens of contribution {0} do not have its tokensRoot")]
    WrongTokens(u64),
    /// A contribution stands twice in one segment.
    #[error("contribution {0} is listed twice")]
    Twice(u64),
    /// More tokens than one segment can hold.
    #[error("{0} tokens do not fit one segment")]
    TooLarge(u64),
    /// The suffix sorter failed.
    #[error("suffix sorting failed: {0}")]
    Sort(String),
}

impl IndexError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.into(), source }
    }

    /// True when building the file anew is the cure.
    #[must_use]
    pub const fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt { .. })
    }
}
