//! Leaves, nodes, and the past by key.

use crate::util::open;
use alloy_primitives::{B256, U256};
use alloy_trie::{BranchNodeCompact, Nibbles};
use tributary_store::{AccountLeaf, StateDiff, StorageDiff, Store};

const A: B256 = B256::repeat_byte(0xa);
const B: B256 = B256::repeat_byte(0xb);

fn leaf(nonce: u64) -> Option<AccountLeaf> {
    Some(AccountLeaf { nonce, balance: U256::from(nonce), ..Default::default() })
}

fn node(byte: u8) -> Option<BranchNodeCompact> {
    Some(BranchNodeCompact::new(0b11, 0, 0b1, vec![B256::repeat_byte(byte)], None))
}

fn diff(account: Option<AccountLeaf>, slot: u64, node: Option<BranchNodeCompact>) -> StateDiff {
    let path = Nibbles::from_nibbles([0, 0xf]);
    let storage =
        StorageDiff { wiped: false, slots: vec![(A, U256::from(slot))], nodes: vec![(path, node.clone())] };
    StateDiff {
        accounts: vec![(A, account)],
        account_nodes: vec![(path, node)],
        storages: vec![(A, storage)],
    }
}

fn write(store: &Store, number: u64, forward: &StateDiff, reverse: &StateDiff) {
    let mut batch = store.batch();
    batch.apply(forward).unwrap();
    batch.put_reverse(number, &StateDiff::default(), reverse).unwrap();
    batch.commit(false).unwrap();
}

#[test]
fn the_past_is_read_by_key() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    // Block 2 makes the account, block 5 changes it, block 7 removes it.
    let (first, second, gone) = (diff(leaf(1), 10, node(1)), diff(leaf(2), 20, node(2)), diff(None, 0, None));
    write(&store, 2, &first, &gone);
    write(&store, 5, &second, &first);
    write(&store, 7, &gone, &second);
    let snapshot = store.snapshot();
    for (number, account, slot) in [
        (0, None, 0),
        (1, None, 0),
        (2, leaf(1), 10),
        (4, leaf(1), 10),
        (5, leaf(2), 20),
        (6, leaf(2), 20),
        (7, None, 0),
        (u64::MAX, None, 0),
    ] {
        assert_eq!(snapshot.account_at(A, number).unwrap(), account, "at {number}");
        assert_eq!(snapshot.slot_at(A, A, number).unwrap(), U256::from(slot), "at {number}");
        assert_eq!(snapshot.account_at(B, number).unwrap(), None);
        assert_eq!(snapshot.slot_at(A, B, number).unwrap(), U256::ZERO);
        assert_eq!(snapshot.slot_at(B, A, number).unwrap(), U256::ZERO);
    }
    assert_eq!(snapshot.last_reverse_diff(5).unwrap(), Some(first));
    assert_eq!(snapshot.last_reverse_diff(6).unwrap(), None);
}

#[test]
fn going_back_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let (made, gone) = (diff(leaf(1), 10, node(1)), diff(None, 0, None));
    write(&store, 2, &made, &gone);
    let mut batch = store.batch();
    batch.apply(&gone).unwrap();
    batch.remove_reverse(2, &gone).unwrap();
    batch.commit(false).unwrap();
    for table in tributary_store::Table::ALL {
        let mut rows = 0;
        store.dump(*table, |_, _| rows += 1).unwrap();
        assert_eq!(rows, if table.name() == "meta" { 2 } else { 0 }, "{}", table.name());
    }
}

#[test]
fn pruned_diffs_are_gone_and_the_past_by_key_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    for number in 1..=10 {
        write(
            &store,
            number,
            &diff(leaf(number), number, node(1)),
            &diff(leaf(number - 1), number - 1, node(2)),
        );
    }
    let mut batch = store.batch();
    batch.prune_diffs(1, 6).unwrap();
    batch.commit(false).unwrap();
    let snapshot = store.snapshot();
    assert_eq!(snapshot.oldest_diff().unwrap(), 6);
    assert_eq!(snapshot.last_reverse_diff(5).unwrap(), None);
    assert!(snapshot.last_reverse_diff(6).unwrap().is_some());
    assert_eq!(snapshot.slot_at(A, A, 3).unwrap(), U256::from(3));
}

#[test]
fn cursors_stay_within_their_account() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let slots =
        |bytes: &[u8]| bytes.iter().map(|byte| (B256::repeat_byte(*byte), U256::from(*byte))).collect();
    let paths = |paths: &[&[u8]]| paths.iter().map(|path| (Nibbles::from_nibbles(path), node(1))).collect();
    let storage = |bytes: &[u8]| StorageDiff {
        wiped: false,
        slots: slots(bytes),
        nodes: paths(&[&[], &[1], &[1, 2], &[2]]),
    };
    let mut batch = store.batch();
    let forward =
        StateDiff { storages: vec![(A, storage(&[1, 5, 9])), (B, storage(&[2]))], ..Default::default() };
    batch.apply(&forward).unwrap();
    batch.commit(false).unwrap();

    let snapshot = store.snapshot();
    let mut cursor = snapshot.slots(A).unwrap();
    assert_eq!(cursor.seek(&B256::repeat_byte(2)).unwrap(), Some((B256::repeat_byte(5), U256::from(5))));
    assert_eq!(cursor.next().unwrap(), Some((B256::repeat_byte(9), U256::from(9))));
    assert_eq!(cursor.next().unwrap(), None);
    assert_eq!(cursor.next().unwrap(), None);
    assert_eq!(cursor.seek(&B256::ZERO).unwrap(), Some((B256::repeat_byte(1), U256::from(1))));

    let mut cursor = snapshot.storage_nodes(A).unwrap();
    let seek = [vec![], vec![1], vec![1, 2], vec![1, 3], vec![2, 0]];
    let found: Vec<_> = seek
        .iter()
        .map(|path| cursor.seek(&Nibbles::from_nibbles(path)).unwrap().map(|(path, _)| path.to_vec()))
        .collect();
    assert_eq!(found, [Some(vec![]), Some(vec![1]), Some(vec![1, 2]), Some(vec![2]), None]);
    assert!(snapshot.slots(B256::ZERO).unwrap().seek(&B256::ZERO).unwrap().is_none());
}
