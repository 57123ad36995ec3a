//! Blocks into the tree.

use crate::{Chain, TreeError, error::import_failure, invalid::Invalid, metrics, node::Node};
use alloy_primitives::B256;
use std::{sync::Arc, time::Instant};
use tributary_evm::{ExecutedBlock, ImportError};
use tributary_spec::RecoveredBlock;

/// What became of a block. It never moves the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayloadStatus {
    /// The block is valid and in the tree.
    Valid,
    /// The block, or an ancestor of it, is invalid.
    Invalid {
        /// The last valid block on its branch.
        latest_valid: Option<B256>,
        /// What is wrong.
        reason: String,
    },
    /// The parent is not known.
    Syncing,
}

impl From<Invalid> for PayloadStatus {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid { latest_valid: Some(invalid.latest_valid), reason: invalid.reason }
    }
}

impl Chain {
    /// Checks and executes a block made elsewhere, and puts it into the tree.
    pub fn import(&self, block: RecoveredBlock) -> Result<PayloadStatus, TreeError> {
        let (hash, parent_hash) = (block.hash(), block.parent_hash());
        let core = self.core();
        self.writer().check()?;
        if core.header(hash)?.is_some() {
            return Ok(PayloadStatus::Valid);
        }
        if let Some(invalid) = self.known_invalid(hash, parent_hash) {
            return Ok(invalid.into());
        }
        let Some(parent) = core.header(parent_hash)? else { return Ok(PayloadStatus::Syncing) };
        let state = core.state_at(parent_hash)?;
        let start = Instant::now();
        match core.executor.import(&parent, block, state) {
            Ok(executed) => {
                metrics::imported(start.elapsed());
                core.insert(Node::new(Arc::new(executed)));
                Ok(PayloadStatus::Valid)
            }
            Err(ImportError::Invalid(error)) => {
                metrics::refused();
                let invalid = Invalid { latest_valid: parent_hash, reason: error.to_string() };
                tracing::warn!(%hash, number = parent.number + 1, %error, "Invalid block");
                if error.is_of_the_hash() {
                    core.invalid.lock().insert(hash, invalid.clone());
                }
                Ok(invalid.into())
            }
            Err(error) => Err(import_failure(error)),
        }
    }

    /// Puts a block that was built here into the tree; it is not executed again.
    pub fn insert(&self, block: Arc<ExecutedBlock>) -> Result<(), TreeError> {
        let parent = block.block.parent_hash();
        self.writer().check()?;
        if self.core().header(parent)?.is_none() {
            return Err(TreeError::UnknownParent(parent));
        }
        self.core().insert(Node::new(block));
        Ok(())
    }

    /// Remembers that a block is invalid although it was never executed: its hash or its fields are wrong.
    pub fn mark_invalid(&self, hash: B256, latest_valid: B256, reason: &str) {
        self.core().invalid.lock().insert(hash, Invalid { latest_valid, reason: reason.to_owned() });
    }

    /// The block itself, or its parent, is known to be invalid.
    pub(crate) fn known_invalid(&self, hash: B256, parent: B256) -> Option<Invalid> {
        let mut known = self.core().invalid.lock();
        if let Some(invalid) = known.get(hash) {
            return Some(invalid);
        }
        let invalid = known.get(parent)?;
        let inherited = Invalid { reason: format!("an ancestor is invalid: {}", invalid.reason), ..invalid };
        known.insert(hash, inherited.clone());
        Some(inherited)
    }
}

impl crate::chain::Core {
    fn insert(&self, node: Node) {
        let mut blocks = self.blocks.write();
        blocks.insert(node);
        blocks.prune(self.config.cached, self.config.max_side);
    }
}
