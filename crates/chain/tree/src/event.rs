//! What subscribers learn.

use std::sync::Arc;
use tributary_evm::ExecutedBlock;

/// The canonical chain changed.
///
/// A block of `old` that had left memory is read back from the store: its `bundle`, `hashed` and `trie` are empty.
#[derive(Debug, Clone)]
pub enum CanonEvent {
    /// Blocks were added to the head.
    Commit {
        /// Oldest first.
        new: Vec<Arc<ExecutedBlock>>,
    },
    /// Blocks were taken off, and others put in their place (none if the head only moved back).
    Reorg {
        /// Oldest first.
        old: Vec<Arc<ExecutedBlock>>,
        /// Oldest first.
        new: Vec<Arc<ExecutedBlock>>,
    },
}

impl CanonEvent {
    /// Blocks that are canonical now, oldest first.
    pub fn added(&self) -> &[Arc<ExecutedBlock>] {
        match self {
            Self::Commit { new } | Self::Reorg { new, .. } => new,
        }
    }

    /// Blocks that were canonical before, oldest first.
    pub fn removed(&self) -> &[Arc<ExecutedBlock>] {
        match self {
            Self::Commit { .. } => &[],
            Self::Reorg { old, .. } => old,
        }
    }
}
