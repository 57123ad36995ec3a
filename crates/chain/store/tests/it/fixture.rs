//! The layout of each schema, row by row: a change here is a new schema.
//!
//! `testdata/schema-N.txt` has a line a row: table, key, value. It was written by this test (set
//! `WRITE_FIXTURE=1`), and must never be written again for the same schema version.

use crate::util::{IDENTITY, block, open, receipts, write_chain};
use alloy_primitives::{B256, Bytes, U256, hex};
use alloy_trie::{BranchNodeCompact, Nibbles};
use std::{fmt::Write, path::Path};
use tributary_spec::RecoveredBlock;
use tributary_store::{
    AccountLeaf, BlockNumHash, Choice, Label, SCHEMA_VERSION, Snapshot, StateDiff, StorageDiff, Store, Table,
    verify_index,
};

fn path(schema: u32) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/schema-{schema}.txt"))
}

fn leaf() -> AccountLeaf {
    AccountLeaf {
        nonce: 300,
        balance: U256::from(10).pow(U256::from(18)),
        storage_root: B256::repeat_byte(0x51),
        code_hash: B256::repeat_byte(0xc0),
    }
}

fn node() -> BranchNodeCompact {
    BranchNodeCompact::new(0b1011, 0b1, 0b11, vec![B256::repeat_byte(1), B256::repeat_byte(2)], None)
}

fn forward() -> StateDiff {
    let storage = StorageDiff {
        wiped: false,
        slots: vec![(B256::repeat_byte(3), U256::from(0x1234))],
        nodes: vec![(Nibbles::new(), Some(node()))],
    };
    StateDiff {
        accounts: vec![
            (B256::repeat_byte(0xa1), Some(AccountLeaf::default())),
            (B256::repeat_byte(0xa2), Some(leaf())),
        ],
        account_nodes: vec![(Nibbles::from_nibbles([0xa, 1]), Some(node()))],
        storages: vec![(B256::repeat_byte(0xa2), storage)],
    }
}

fn reverse() -> StateDiff {
    let storage = StorageDiff {
        wiped: false,
        slots: vec![(B256::repeat_byte(3), U256::ZERO)],
        nodes: vec![(Nibbles::new(), None)],
    };
    let was = AccountLeaf { nonce: 299, ..leaf() };
    StateDiff {
        accounts: vec![(B256::repeat_byte(0xa1), None), (B256::repeat_byte(0xa2), Some(was))],
        account_nodes: vec![(Nibbles::from_nibbles([0xa, 1]), Some(node()))],
        storages: vec![(B256::repeat_byte(0xa2), storage)],
    }
}

/// A block that is acknowledged and not written.
fn ahead(parent: &RecoveredBlock) -> RecoveredBlock {
    block(2, parent.hash(), 1)
}

fn choice(parent: &RecoveredBlock) -> Choice {
    let head = ahead(parent);
    let head = BlockNumHash::new(head.number(), head.hash());
    Choice { head, safe: parent.hash(), finalized: parent.parent_hash() }
}

fn build(store: &Store) {
    let blocks = write_chain(store, 2);
    let mut batch = store.batch();
    batch.put_code(B256::repeat_byte(0xc0), &Bytes::from_static(&[0xfe])).unwrap();
    batch.apply(&forward()).unwrap();
    batch.put_reverse(1, &forward(), &reverse()).unwrap();
    batch.set_label(Label::Safe, Some(BlockNumHash::new(0, blocks[0].hash()))).unwrap();
    batch.set_label(Label::Finalized, Some(BlockNumHash::new(0, blocks[0].hash()))).unwrap();
    batch.prune_diffs(0, 1).unwrap();
    batch.put_ahead(&ahead(&blocks[1])).unwrap();
    batch.put_choice(&choice(&blocks[1])).unwrap();
    batch.commit(true).unwrap();
}

fn dump(store: &Store) -> String {
    let mut text = String::new();
    for table in Table::ALL {
        let line = |key: &[u8], value: &[u8]| {
            writeln!(text, "{} {} {}", table.name(), hex::encode(key), hex::encode(value)).unwrap();
        };
        store.dump(*table, line).unwrap();
    }
    text
}

#[test]
fn this_build_writes_what_the_fixture_says() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    build(&store);
    let text = dump(&store);
    if std::env::var_os("WRITE_FIXTURE").is_some() {
        std::fs::write(path(SCHEMA_VERSION), &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path(SCHEMA_VERSION)).unwrap());
}

#[test]
fn this_build_reads_every_fixture() {
    for schema in 1..=SCHEMA_VERSION {
        let dir = tempfile::tempdir().unwrap();
        let snapshot = read(&lines(schema), dir.path());
        let head = snapshot.head().unwrap().unwrap();
        let choice = (schema > 1).then(|| choice(&snapshot.block(head.number).unwrap().unwrap()));
        assert_eq!(snapshot.choice().unwrap(), choice);
        if let Some(choice) = choice {
            assert_eq!(snapshot.ahead(choice.head).unwrap().unwrap().parent_hash(), head.hash);
        }
    }
}

/// Some builds of schema 2 wrote choices already; labels of an earlier one may still lie beside them, and are older.
#[test]
fn a_choice_that_a_build_of_schema_2_wrote_stays() {
    let newer = lines(3);
    let is_new =
        |line: &&str| line.starts_with("meta 63686f696365 ") || line.starts_with("meta 61686561642f");
    let both = format!("{}{}\n", lines(2), newer.lines().filter(is_new).collect::<Vec<_>>().join("\n"));
    // Labels that nobody chose last.
    let (found, labels) = ("meta 6c6162656c735f6168656164 ", "00".repeat(64));
    let old = both.lines().find(|line| line.starts_with(found)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let snapshot = read(&both.replace(old, &format!("{found}{labels}")), dir.path());
    let parent = snapshot.block(1).unwrap().unwrap();
    assert_eq!(snapshot.choice().unwrap(), Some(choice(&parent)));
}

fn lines(schema: u32) -> String {
    std::fs::read_to_string(path(schema)).unwrap()
}

fn read(lines: &str, dir: &Path) -> Snapshot {
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let names = Table::ALL.iter().map(|table| table.name());
    let db = rocksdb::DB::open_cf(&options, dir, names).unwrap();
    for line in lines.lines() {
        let mut words = line.split(' ');
        let table = db.cf_handle(words.next().unwrap()).unwrap();
        let mut bytes = || hex::decode(words.next().unwrap()).unwrap();
        db.put_cf(table, bytes(), bytes()).unwrap();
    }
    drop(db);

    assert_eq!(Store::identity(dir).unwrap(), Some(IDENTITY));
    let store = open(dir).unwrap();
    // Opened, it is of the present schema: an earlier build is told so.
    let mut found = Vec::new();
    let keep = |key: &[u8], value: &[u8]| {
        if key == b"schema" {
            found = value.to_vec();
        }
    };
    store.dump(Table::Meta, keep).unwrap();
    assert_eq!(found, SCHEMA_VERSION.to_be_bytes());
    let snapshot = store.snapshot();
    verify_index(&snapshot, |_, _| ()).unwrap();
    assert_eq!(snapshot.head().unwrap().unwrap().number, 1);
    assert_eq!(snapshot.label(Label::Finalized).unwrap().unwrap().number, 0);
    assert_eq!(snapshot.receipts(1).unwrap().unwrap(), receipts(1));
    assert_eq!(snapshot.account(B256::repeat_byte(0xa2)).unwrap(), Some(leaf()));
    assert_eq!(snapshot.account_at(B256::repeat_byte(0xa2), 0).unwrap().unwrap().nonce, 299);
    assert_eq!(snapshot.slot(B256::repeat_byte(0xa2), B256::repeat_byte(3)).unwrap(), U256::from(0x1234));
    assert_eq!(snapshot.account_node(&Nibbles::from_nibbles([0xa, 1])).unwrap(), Some(node()));
    assert_eq!(snapshot.storage_node(B256::repeat_byte(0xa2), &Nibbles::new()).unwrap(), Some(node()));
    assert_eq!(snapshot.code(B256::repeat_byte(0xc0)).unwrap(), Some(Bytes::from_static(&[0xfe])));
    assert_eq!(snapshot.last_reverse_diff(1).unwrap(), Some(reverse()));
    snapshot
}
