//! What an operator watches of the chain.

use crate::{CanonEvent, blocks::Blocks};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use std::time::Duration;
use tributary_spec::SealedHeader;

/// Names every metric, and shows where the chain stands.
pub(crate) fn opened(blocks: &Blocks) {
    describe_gauge!(
        "tributary_chain_height",
        "Number of the block under a label, and of the last one written"
    );
    describe_counter!("tributary_chain_blocks_total", "Blocks that became canonical");
    describe_counter!("tributary_chain_transactions_total", "Transactions of blocks that became canonical");
    describe_counter!("tributary_chain_gas_total", "Gas of blocks that became canonical");
    describe_counter!("tributary_chain_reorgs_total", "Fork choices that took canonical blocks back");
    describe_counter!("tributary_chain_invalid_blocks_total", "Blocks that were refused");
    describe_histogram!(
        "tributary_chain_import_seconds",
        Unit::Seconds,
        "Checking, executing and rooting a block"
    );
    describe_histogram!("tributary_chain_write_seconds", Unit::Seconds, "Writing a block to the database");
    for name in ["blocks", "transactions", "gas", "reorgs", "invalid_blocks"] {
        counter!(format!("tributary_chain_{name}_total")).increment(0);
    }
    moved(blocks);
    written(blocks);
}

/// Head or labels moved.
pub(crate) fn moved(blocks: &Blocks) {
    gauge!("tributary_chain_height", "label" => "latest").set(blocks.head.number as f64);
    let labels: [(&'static str, &Option<SealedHeader>); 2] =
        [("safe", &blocks.safe), ("finalized", &blocks.finalized)];
    for (label, header) in labels {
        if let Some(header) = header {
            gauge!("tributary_chain_height", "label" => label).set(header.number as f64);
        }
    }
}

/// Blocks became canonical.
pub(crate) fn announced(event: &CanonEvent) {
    let (old, new) = match event {
        CanonEvent::Commit { new } => (0, new),
        CanonEvent::Reorg { old, new } => (old.len(), new),
    };
    counter!("tributary_chain_reorgs_total").increment(u64::from(old > 0));
    counter!("tributary_chain_blocks_total").increment(new.len() as u64);
    let transactions = new.iter().map(|block| block.block.transactions().len()).sum::<usize>();
    counter!("tributary_chain_transactions_total").increment(transactions as u64);
    let gas = new.iter().map(|block| block.block.header().gas_used).sum();
    counter!("tributary_chain_gas_total").increment(gas);
}

/// A block was executed.
pub(crate) fn imported(took: Duration) {
    histogram!("tributary_chain_import_seconds").record(took);
}

/// A block was refused.
pub(crate) fn refused() {
    counter!("tributary_chain_invalid_blocks_total").increment(1);
}

/// A block was written.
pub(crate) fn wrote(took: Duration) {
    histogram!("tributary_chain_write_seconds").record(took);
}

/// The last written block is another.
pub(crate) fn written(blocks: &Blocks) {
    gauge!("tributary_chain_height", "label" => "persisted").set(blocks.persisted.number as f64);
}
