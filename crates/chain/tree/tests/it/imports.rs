//! Blocks made elsewhere: valid, invalid, too early, known.

use crate::dev::{block, open};
use alloy_consensus::Sealable;
use alloy_primitives::B256;
use tributary_evm::ExecutedBlock;
use tributary_spec::{Header, RecoveredBlock};
use tributary_tree::{Chain, ForkchoiceStatus, PayloadStatus, TreeError, verify};

/// Another node's chain: blocks built there are imported here.
struct Pair {
    there: Chain,
    here: Chain,
    _dirs: [tempfile::TempDir; 2],
}

fn pair() -> Pair {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    Pair { there: open(dirs[0].path()), here: open(dirs[1].path()), _dirs: dirs }
}

impl Pair {
    fn build(&self, parent: B256, delay: u64) -> RecoveredBlock {
        let block = block(&self.there, parent, delay);
        self.there.insert(block.clone()).unwrap();
        block.block.clone()
    }
}

fn tampered(block: &RecoveredBlock, change: impl FnOnce(&mut Header)) -> RecoveredBlock {
    let mut header = block.header().inner().clone();
    change(&mut header);
    RecoveredBlock::recover_sealed(header.seal_slow(), block.body().clone()).unwrap()
}

fn invalid(status: PayloadStatus) -> (Option<B256>, String) {
    match status {
        PayloadStatus::Invalid { latest_valid, reason } => (latest_valid, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_block_is_built_there_and_imported_here() {
    let pair = pair();
    let mut at = pair.here.head().hash();
    for number in 1..=5 {
        let block = pair.build(at, 2);
        at = block.hash();
        assert_eq!(pair.here.import(block.clone()).unwrap(), PayloadStatus::Valid);
        assert_eq!(pair.here.head().number, number - 1, "an import never moves the head");
        assert_eq!(pair.here.import(block).unwrap(), PayloadStatus::Valid, "known");
        assert_eq!(pair.here.set_forkchoice(at, None, None).unwrap(), ForkchoiceStatus::Valid);
    }
    pair.here.flush().unwrap();
    verify(pair.here.store(), |_, _, _| ()).unwrap();
    let known: std::sync::Arc<RecoveredBlock> = pair.here.block_by_hash(at).unwrap().unwrap();
    assert_eq!(pair.here.import((*known).clone()).unwrap(), PayloadStatus::Valid);
}

#[test]
fn an_early_block_is_syncing_and_valid_later() {
    let pair = pair();
    let first = pair.build(pair.here.head().hash(), 2);
    let second = pair.build(first.hash(), 2);
    assert_eq!(pair.here.import(second.clone()).unwrap(), PayloadStatus::Syncing);
    assert_eq!(pair.here.set_forkchoice(second.hash(), None, None).unwrap(), ForkchoiceStatus::Syncing);
    assert_eq!(pair.here.import(first).unwrap(), PayloadStatus::Valid);
    assert_eq!(pair.here.import(second.clone()).unwrap(), PayloadStatus::Valid);
    assert_eq!(pair.here.set_forkchoice(second.hash(), None, None).unwrap(), ForkchoiceStatus::Valid);
}

#[test]
fn invalid_blocks_and_their_descendants_name_the_last_valid_one() {
    let pair = pair();
    let good = pair.build(pair.here.head().hash(), 2);
    pair.here.import(good.clone()).unwrap();
    let next = pair.build(good.hash(), 2);
    let bad = tampered(&next, |header| header.state_root = B256::repeat_byte(9));
    for _ in 0..2 {
        let (latest_valid, reason) = invalid(pair.here.import(bad.clone()).unwrap());
        assert_eq!(latest_valid, Some(good.hash()));
        assert!(reason.contains("state root"), "{reason}");
    }
    // Children and grandchildren of a block that is invalid.
    let child = tampered(&next, |header| (header.parent_hash, header.number) = (bad.hash(), 3));
    let grandchild = tampered(&next, |header| (header.parent_hash, header.number) = (child.hash(), 4));
    for block in [&child, &grandchild] {
        let (latest_valid, reason) = invalid(pair.here.import(block.clone()).unwrap());
        assert_eq!(latest_valid, Some(good.hash()));
        assert!(reason.contains("ancestor"), "{reason}");
    }
    match pair.here.set_forkchoice(grandchild.hash(), None, None).unwrap() {
        ForkchoiceStatus::Invalid { latest_valid, .. } => assert_eq!(latest_valid, good.hash()),
        other => panic!("{other:?}"),
    }
    // The good sibling is not affected, nor is the head.
    assert_eq!(pair.here.import(next).unwrap(), PayloadStatus::Valid);
    assert_eq!(pair.here.head().number, 0);
}

#[test]
fn blocks_marked_invalid_stay_so() {
    let pair = pair();
    let genesis = pair.here.head().hash();
    let block = pair.build(genesis, 2);
    pair.here.mark_invalid(block.hash(), genesis, "bad extra data");
    assert_eq!(invalid(pair.here.import(block).unwrap()), (Some(genesis), "bad extra data".into()));
}

#[test]
fn imports_reorg_what_is_written() {
    let pair = pair();
    let genesis = pair.here.head().hash();
    let branch = |delay: u64, length: usize| {
        let mut at = genesis;
        (0..length)
            .map(|_| {
                let block = pair.build(at, delay);
                at = block.hash();
                block
            })
            .collect::<Vec<_>>()
    };
    let (a, b) = (branch(2, 4), branch(4, 6));
    for line in [&a, &b, &a, &b] {
        for block in line {
            assert_eq!(pair.here.import(block.clone()).unwrap(), PayloadStatus::Valid);
        }
        let head = line.last().unwrap();
        pair.here.set_forkchoice(head.hash(), None, None).unwrap();
        pair.here.flush().unwrap();
        verify(pair.here.store(), |_, _, _| ()).unwrap();
        assert_eq!(pair.here.head().hash(), head.hash());
    }
}

#[test]
fn an_orphan_built_here_is_refused() {
    let pair = pair();
    let first = pair.build(pair.there.head().hash(), 2);
    let second: std::sync::Arc<ExecutedBlock> = block(&pair.there, first.hash(), 2);
    assert!(matches!(pair.here.insert(second), Err(TreeError::UnknownParent(hash)) if hash == first.hash()));
}
