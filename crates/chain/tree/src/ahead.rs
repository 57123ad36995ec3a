//! Fork choices that are acknowledged before what their blocks did is written.
//!
//! ```text
//! fork choice ─▶ log: the new blocks, the head and the labels, one small write ─▶ head, answer
//!                 │                                                                └─▶ writer: leaves, nodes, indexes
//!                 └─▶ after a kill: the written branch is left where the logged one does, and that is executed again
//! ```
//! The log has every canonical block that is not written. Only a fork choice puts blocks there and takes them out, those that are
//! written by then: the writer may still be undoing a block that is chosen again.

use crate::{
    Chain, PayloadStatus, TreeError,
    chain::corrupt,
    forkchoice::{Choosing, lowest, route},
};
use tributary_spec::{RecoveredBlock, SealedHeader};
use tributary_store::{Batch, BlockNumHash, Choice, Snapshot, StoreError};

impl Chain {
    /// Logs a fork choice, so that it can be carried out and answered. `logged` is what the log has.
    pub(crate) fn log(&self, choosing: &Choosing, logged: &mut Vec<BlockNumHash>) -> Result<(), TreeError> {
        let mut batch = self.core().store.batch();
        let (gone, kept): (Vec<_>, Vec<_>) = {
            let blocks = self.core().blocks.read();
            let snapshot = self.core().store.snapshot();
            let written = blocks.is_canonical(&snapshot, blocks.persisted)?;
            let ancestor = choosing.route.ancestor.number;
            logged.iter().partition(|block| {
                block.number > ancestor || (written && block.number <= blocks.persisted.number)
            })
        };
        gone.into_iter().try_for_each(|block| batch.remove_ahead(block))?;
        *logged = kept;
        for node in &choosing.route.new {
            batch.put_ahead(&node.executed().block)?;
            logged.push(BlockNumHash::new(node.number(), node.header().hash()));
        }
        batch.put_choice(&choosing.choice())?;
        self.commit_log(batch)
    }

    /// Everything is written: nothing in the log counts any more.
    fn forget_ahead(&self) -> Result<(), TreeError> {
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

    /// Carries out what was acknowledged and not written when the process ended.
    pub(crate) fn replay(&self) -> Result<(), TreeError> {
        let snapshot = self.core().store.snapshot();
        let Some(choice) = snapshot.choice()? else { return Ok(()) };
        let written = self.head();
        let (ancestor, branch) = match logged_branch(&snapshot, choice.head) {
            Err(error @ (TreeError::TooDeep { .. } | TreeError::Store(StoreError::Corrupt(_)))) => {
                tracing::error!(%error, head = choice.head.number, written = written.number, "The acknowledged fork choice cannot be carried out again");
                return self.forget_ahead();
            }
            branch => branch?,
        };
        self.leave_branch(&snapshot, &ancestor)?;
        let head = self.execute_again(ancestor, branch)?;
        self.label_again(&head, &choice)?;
        self.flush()?;
        self.forget_ahead()?;
        if head.hash() != written.hash() {
            let (from, to) = (written.number, head.number);
            tracing::info!(from, to, "Acknowledged fork choice carried out again");
        }
        Ok(())
    }

    /// Back to where the acknowledged branch begins.
    fn leave_branch(&self, snapshot: &Snapshot, ancestor: &SealedHeader) -> Result<(), TreeError> {
        let core = self.core();
        let (route, finalized) = {
            let blocks = core.blocks.read();
            (route(&blocks, snapshot, ancestor)?, blocks.finalized.clone())
        };
        if !route.old.is_empty() {
            let finalized = finalized.filter(|finalized| finalized.number <= ancestor.number);
            core.carry_out(Choosing { route, safe: finalized.clone(), finalized });
            self.flush()?;
        }
        Ok(())
    }

    /// The head after as many of the blocks as are still valid.
    fn execute_again(
        &self,
        ancestor: SealedHeader,
        branch: Vec<RecoveredBlock>,
    ) -> Result<SealedHeader, TreeError> {
        let mut head = ancestor;
        for block in branch {
            let header = block.header().clone();
            match self.import(block)? {
                PayloadStatus::Valid => head = header,
                status => {
                    tracing::error!(number = header.number, ?status, "A logged block is not valid any more");
                    break;
                }
            }
            self.core().carry_out(self.core().choose(&head, None, None)?);
            self.writer().wake();
            self.writer().wait_for_room(self.core())?;
        }
        Ok(head)
    }

    fn label_again(&self, head: &SealedHeader, choice: &Choice) -> Result<(), TreeError> {
        match self.core().choose(head, Some(choice.safe), Some(choice.finalized)) {
            Ok(choosing) => self.core().carry_out(choosing),
            // The block that had the label is above a block that is not valid any more.
            Err(TreeError::InconsistentLabel { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The written block that the acknowledged branch begins at, and the logged blocks above it, oldest first.
fn logged_branch(
    snapshot: &Snapshot,
    head: BlockNumHash,
) -> Result<(SealedHeader, Vec<RecoveredBlock>), TreeError> {
    let missing = |what: &str| corrupt(&format!("the log of acknowledged blocks has no {what}"));
    let mut branch = Vec::new();
    let mut at = head;
    while snapshot.hash(at.number)? != Some(at.hash) {
        let block = snapshot.ahead(at)?.ok_or_else(|| missing(&format!("block {}", at.number)))?;
        let below = at.number.checked_sub(1).ok_or_else(|| missing("genesis"))?;
        at = BlockNumHash::new(below, block.parent_hash());
        branch.push(block);
    }
    branch.reverse();
    let (ancestor, oldest) = (at.number, lowest(snapshot)?);
    if snapshot.head()?.is_some_and(|head| ancestor < head.number) && ancestor < oldest {
        return Err(TreeError::TooDeep { ancestor, oldest });
    }
    let ancestor = snapshot.header(ancestor)?.ok_or_else(|| corrupt("a canonical header is missing"))?;
    Ok((ancestor, branch))
}
