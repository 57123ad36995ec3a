//! What can go wrong with the database, and what to do about it.

use crate::Identity;
use std::path::PathBuf;

/// What the caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The same call may succeed later.
    Retry,
    /// This input is refused; the node goes on.
    Reject,
    /// The node cannot go on.
    Fatal,
}

/// A failure of the database.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process, or another part of this one, has the database open.
    #[error("the database at {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The database belongs to another chain.
    #[error("the database at {} belongs to {found}; this node runs {expected}", path.display())]
    OtherChain {
        /// Where the database is.
        path: PathBuf,
        /// What is in it.
        found: Identity,
        /// What was asked for.
        expected: Identity,
    },
    /// A newer version of this software wrote the database.
    #[error("the database has schema {found}; this version reads up to {supported}: use a newer one")]
    NewerSchema {
        /// The database's schema version.
        found: u32,
        /// The newest this build reads.
        supported: u32,
    },
    /// The path holds something that is not this node's database.
    #[error("{} is not a database of this node: {reason}", path.display())]
    NotADatabase {
        /// Where it was looked for.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk is full.
    #[error("no space left on the device while the database wrote: {0}")]
    NoSpace(String),
    /// The disk or the operating system failed.
    #[error("the database failed: {0}")]
    Io(String),
    /// What is stored does not decode or contradicts itself.
    #[error("the database is corrupt: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// Every failure of the database ends the node, except that a lock may be released.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Locked(_) => Severity::Retry,
            _ => Severity::Fatal,
        }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(what.into())
    }
}

impl From<rocksdb::Error> for StoreError {
    fn from(error: rocksdb::Error) -> Self {
        let text = error.to_string();
        if text.contains("No space left") || text.contains("Disk quota exceeded") {
            return Self::NoSpace(text);
        }
        match error.kind() {
            rocksdb::ErrorKind::Corruption => Self::Corrupt(text),
            _ => Self::Io(text),
        }
    }
}
