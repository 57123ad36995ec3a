//! Blocks in, blocks out, and gone again.

use crate::util::{open, receipts, write_chain};
use tributary_store::{BlockNumHash, Label, StoreError, TransactionLocation, verify_index};

#[test]
fn blocks_and_what_finds_them_round_trip() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let blocks = write_chain(&store, 4);
    let snapshot = store.snapshot();
    for block in &blocks {
        let number = block.number();
        assert_eq!(snapshot.block(number).unwrap().as_ref(), Some(block));
        assert_eq!(snapshot.receipts(number).unwrap().unwrap(), receipts(number));
        assert_eq!(snapshot.number(block.hash()).unwrap(), Some(number));
        for (index, tx) in (0..).zip(block.transactions()) {
            let location = TransactionLocation { number, index };
            assert_eq!(snapshot.transaction(tx.tx_hash()).unwrap(), Some(location));
        }
    }
    let mut seen = 0;
    let report = verify_index(&snapshot, |_, _| seen += 1).unwrap();
    assert_eq!((report.blocks, report.transactions, report.receipts, seen), (4, 8, 8, 4));
}

#[test]
fn a_snapshot_does_not_see_later_writes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let before = store.snapshot();
    write_chain(&store, 2);
    assert_eq!(before.head().unwrap(), None);
    assert_eq!(before.block(1).unwrap(), None);
    drop(store);
    // The snapshot alone keeps the database open.
    assert_eq!(before.header(0).unwrap(), None);
}

#[test]
fn a_removed_block_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let blocks = write_chain(&store, 3);
    let mut batch = store.batch();
    batch.remove_block(&blocks[2], &receipts(2)).unwrap();
    batch.set_head(BlockNumHash::new(1, blocks[1].hash())).unwrap();
    batch.commit(true).unwrap();
    let snapshot = store.snapshot();
    assert_eq!(snapshot.block(2).unwrap(), None);
    assert_eq!(snapshot.number(blocks[2].hash()).unwrap(), None);
    assert_eq!(snapshot.transaction(blocks[2].transactions()[0].tx_hash()).unwrap(), None);
    assert_eq!(verify_index(&snapshot, |_, _| ()).unwrap().blocks, 2);
}

#[test]
fn labels_are_set_and_cleared() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let blocks = write_chain(&store, 3);
    let block = BlockNumHash::new(1, blocks[1].hash());
    let mut batch = store.batch();
    batch.set_label(Label::Safe, Some(block)).unwrap();
    batch.commit(false).unwrap();
    assert_eq!(store.snapshot().label(Label::Safe).unwrap(), Some(block));
    assert_eq!(store.snapshot().label(Label::Finalized).unwrap(), None);
    let mut batch = store.batch();
    batch.set_label(Label::Safe, None).unwrap();
    batch.commit(false).unwrap();
    assert_eq!(store.snapshot().label(Label::Safe).unwrap(), None);
}

#[test]
fn the_check_finds_a_missing_index_entry_and_a_stray_row() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let blocks = write_chain(&store, 3);
    // A fourth block without moving the head: rows that no block of the chain accounts for.
    let mut batch = store.batch();
    batch.put_block(&crate::util::block(3, blocks[2].hash(), 1), &receipts(3)[..1]).unwrap();
    batch.commit(false).unwrap();
    let error = verify_index(&store.snapshot(), |_, _| ()).unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt(why) if why.contains("headers")), "{error}");

    let mut batch = store.batch();
    batch.remove_block(&blocks[1], &receipts(1)).unwrap();
    batch.commit(false).unwrap();
    let error = verify_index(&store.snapshot(), |_, _| ()).unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt(why) if why.contains("block 1")), "{error}");
}
