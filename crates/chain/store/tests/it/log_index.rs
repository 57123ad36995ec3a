//! Finding the blocks that have logs.

use crate::util::{open, write_chain};
use alloy_primitives::{Address, B256};
use tributary_store::LogQuery;

fn topic(byte: u8) -> Vec<B256> {
    vec![B256::repeat_byte(byte)]
}

#[test]
fn terms_are_joined_by_and_alternatives_by_or() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    write_chain(&store, 10);
    let snapshot = store.snapshot();
    let find = |query: LogQuery, from, to| snapshot.blocks_with_logs(&query, from, to).unwrap();
    let all: Vec<u64> = (2..=6).collect();

    assert_eq!(find(LogQuery::default(), 0, 9), None);
    let address = LogQuery { addresses: vec![Address::repeat_byte(1)], ..Default::default() };
    assert_eq!(find(address.clone(), 2, 6), Some(all));
    let third = LogQuery { topics: [topic(3), vec![], vec![], vec![]], ..address.clone() };
    assert_eq!(find(third, 0, 9), Some(vec![3]));
    let either = LogQuery { topics: [[topic(3), topic(5)].concat(), topic(7), vec![], vec![]], ..address };
    assert_eq!(find(either, 0, 9), Some(vec![3, 5]));
    let wrong_place = LogQuery { topics: [topic(7), topic(3), vec![], vec![]], ..Default::default() };
    assert_eq!(find(wrong_place, 0, 9), Some(vec![]));
    let nobody = LogQuery { addresses: vec![Address::repeat_byte(0xee)], ..Default::default() };
    assert_eq!(find(nobody, 0, u64::MAX), Some(vec![]));
}
