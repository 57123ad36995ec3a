//! What can be wrong with a model on disk.

use std::{io, path::PathBuf};

/// What a caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Trying again may work.
    Retry,
    /// This file will never load.
    Reject,
}

/// Why a model cannot be loaded or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file system failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file is not what its name says, is truncated or corrupt.
    #[error("{path}: not a valid model file: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// The file is valid but of a kind this node does not run.
    #[error("unsupported model: {0}")]
    Unsupported(String),
    /// The model lacks a tensor or a value, or has one of a wrong shape or a value that is not finite.
    #[error("inconsistent model: {0}")]
    Inconsistent(String),
    /// The vocabulary cannot be used, or text cannot be encoded with it.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// The chat template does not compile, or refuses the conversation.
    #[error("chat template: {0}")]
    Template(String),
}

impl WeightsError {
    /// Whether trying again can help.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Io { source, .. } if source.kind() != io::ErrorKind::NotFound => Severity::Retry,
            _ => Severity::Reject,
        }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
