//! Checks that blocks and the indexes over them agree.

use crate::{Label, Snapshot, StoreError, Table, TransactionLocation, log_index};
use alloy_primitives::B256;

/// What a check of blocks and indexes saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexReport {
    /// Blocks from genesis to the head.
    pub blocks: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// Receipts stored with them.
    pub receipts: u64,
}

/// Walks the chain from genesis to the head: hashes, parents, bodies, receipts, and every index entry both ways.
/// `progress` is called after each block with its number and the head's.
pub fn verify_index(
    snapshot: &Snapshot,
    mut progress: impl FnMut(u64, u64),
) -> Result<IndexReport, StoreError> {
    let mut report = IndexReport::default();
    let Some(head) = snapshot.head()? else { return Ok(report) };
    let mut parent = B256::ZERO;
    for number in 0..=head.number {
        parent = verify_block(snapshot, number, parent, &mut report)?;
        progress(number, head.number);
    }
    if parent != head.hash {
        return Err(StoreError::corrupt("the head's hash is not that of the last block"));
    }
    for label in [Label::Safe, Label::Finalized] {
        if let Some(block) = snapshot.label(label)?
            && snapshot.hash(block.number)? != Some(block.hash)
        {
            return Err(StoreError::corrupt(format!("label {label:?} is on a block that is not there")));
        }
    }
    verify_counts(snapshot, &report)?;
    Ok(report)
}

fn verify_block(
    snapshot: &Snapshot,
    number: u64,
    parent: B256,
    report: &mut IndexReport,
) -> Result<B256, StoreError> {
    let bad = |what: &str| StoreError::corrupt(format!("block {number}: {what}"));
    let block = snapshot.block(number)?.ok_or_else(|| bad("is missing"))?;
    let hash = block.hash();
    if block.header().inner().hash_slow() != hash {
        return Err(bad("its header does not hash to its hash"));
    }
    if block.number() != number || (number > 0 && block.parent_hash() != parent) {
        return Err(bad("does not follow its parent"));
    }
    if snapshot.number(hash)? != Some(number) {
        return Err(bad("its hash is not indexed"));
    }
    for (index, tx) in block.transactions().iter().enumerate() {
        let location = TransactionLocation { number, index: index as u32 };
        if snapshot.transaction(tx.tx_hash())? != Some(location) {
            return Err(bad("a transaction is not indexed"));
        }
    }
    let receipts = snapshot.receipts(number)?.ok_or_else(|| bad("has no receipts"))?;
    if receipts.len() != block.transactions().len() {
        return Err(bad("has not a receipt for each transaction"));
    }
    for key in log_index::keys(number, &receipts) {
        if snapshot.get(Table::LogIndex, key)?.is_none() {
            return Err(bad("a log is not indexed"));
        }
    }
    report.blocks += 1;
    report.transactions += block.transactions().len() as u64;
    report.receipts += receipts.len() as u64;
    Ok(hash)
}

/// No table has rows of blocks that are not on the chain.
fn verify_counts(snapshot: &Snapshot, report: &IndexReport) -> Result<(), StoreError> {
    let per_block =
        [Table::Headers, Table::Bodies, Table::Receipts, Table::Numbers].map(|t| (t, report.blocks));
    for (table, expected) in per_block.into_iter().chain([(Table::Transactions, report.transactions)]) {
        let mut rows = snapshot.rows(table, true)?;
        rows.seek_to_first();
        let mut count = 0u64;
        while rows.valid() {
            count += 1;
            rows.next();
        }
        rows.status()?;
        if count != expected {
            return Err(StoreError::corrupt(format!(
                "table {} has {count} rows where {expected} are due",
                table.name()
            )));
        }
    }
    Ok(())
}
