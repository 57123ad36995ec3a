//! Blocks that are acknowledged before what they did is written.
//!
//! ```text
//! fork choice ─▶ log: the block and the labels, one small write ─▶ head, answer
//!                 │                                                  └─▶ writer: leaves, nodes, indexes; out of the log
//!                 └─▶ after a kill: executed again when the chain is opened
//! ```
//! Only a head that extends the chain is logged. Any other fork choice waits until it is written, and empties the log.

use crate::{
    Chain, PayloadStatus, TreeError,
    forkchoice::{Move, asked, route},
    node::Node,
};
use alloy_primitives::B256;
use tributary_spec::SealedHeader;
use tributary_store::Batch;

/// What a fork choice has put into the log, and the labels that were there before.
pub(crate) struct Logged {
    new: Vec<Node>,
    labels: (B256, B256),
}

impl Chain {
    /// Logs the blocks between the head and a descendant that becomes the head, and the labels. `None` if it is no descendant, or
    /// the store still goes back from another branch.
    pub(crate) fn log_ahead(
        &self,
        head: &SealedHeader,
        safe: Option<B256>,
        finalized: Option<B256>,
    ) -> Result<Option<Logged>, TreeError> {
        let core = self.core();
        let (new, labels) = {
            let blocks = core.blocks.read();
            let snapshot = core.store.snapshot();
            if !blocks.is_canonical(&snapshot, blocks.persisted)? {
                return Ok(None);
            }
            let hash =
                |label: &Option<SealedHeader>| label.as_ref().map(SealedHeader::hash).unwrap_or_default();
            let labels = (hash(&blocks.safe), hash(&blocks.finalized));
            match route(&blocks, &snapshot, head) {
                Ok(Move { ancestor, old, new })
                    if old.is_empty() && ancestor.hash() == blocks.head.hash() =>
                {
                    (new, labels)
                }
                _ => return Ok(None),
            }
        };
        let next = (asked(safe).unwrap_or(labels.0), asked(finalized).unwrap_or(labels.1));
        if !new.is_empty() || next != labels {
            let mut batch = core.store.batch();
            new.iter().try_for_each(|node| batch.put_ahead(&node.executed().block))?;
            batch.put_labels_ahead(next.0, next.1)?;
            self.commit_log(batch)?;
        }
        Ok(Some(Logged { new, labels }))
    }

    /// The fork choice failed after all.
    pub(crate) fn take_back(&self, logged: &Logged) -> Result<(), TreeError> {
        let mut batch = self.core().store.batch();
        logged.new.iter().try_for_each(|node| batch.remove_ahead(node.number()))?;
        batch.put_labels_ahead(logged.labels.0, logged.labels.1)?;
        self.commit_log(batch)
    }

    /// Everything is written: nothing in the log counts any more.
    pub(crate) fn forget_ahead(&self) -> Result<(), TreeError> {
        let mut batch = self.core().store.batch();
        batch.clear_ahead()?;
        self.commit_log(batch)
    }

    /// A disk that fails here fails the chain, as it does beneath the writer.
    fn commit_log(&self, batch: Batch) -> Result<(), TreeError> {
        batch.commit(self.core().config.sync).map_err(TreeError::from).inspect_err(|error| {
            tracing::error!(%error, "The chain cannot be written");
            self.writer().fail(error);
        })
    }

    /// Executes again what was acknowledged and not written when the process ended.
    pub(crate) fn replay(&self) -> Result<(), TreeError> {
        let snapshot = self.core().store.snapshot();
        let Some((safe, finalized)) = snapshot.labels_ahead()? else { return Ok(()) };
        let written = self.head();
        let mut head = written.clone();
        while let Some(block) = snapshot.ahead(head.number + 1)? {
            let header = block.header().clone();
            if header.parent_hash != head.hash() {
                break;
            }
            match self.import(block)? {
                PayloadStatus::Valid => head = header,
                status => {
                    tracing::error!(number = header.number, ?status, "A logged block is not valid any more");
                    break;
                }
            }
        }
        let (safe, finalized) = (Some(safe), Some(finalized));
        match self.core().choose(&head, safe, finalized) {
            Err(TreeError::InconsistentLabel { .. }) => self.core().choose(&head, None, None)?,
            chosen => chosen?,
        }
        self.flush()?;
        self.forget_ahead()?;
        if head.number > written.number {
            let blocks = head.number - written.number;
            tracing::info!(number = head.number, blocks, "Acknowledged blocks executed again");
        }
        Ok(())
    }
}
