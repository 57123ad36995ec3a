//! Whose database it is, and what is refused.

use crate::util::{IDENTITY, open, open_as, write_chain};
use alloy_primitives::B256;
use tributary_store::{Identity, SCHEMA_VERSION, Severity, Store, StoreError, Table};

fn raw(path: &std::path::Path) -> rocksdb::DB {
    let names: Vec<&str> = Table::ALL.iter().map(|table| table.name()).chain(["default"]).collect();
    rocksdb::DB::open_cf(&rocksdb::Options::default(), path, names).unwrap()
}

#[test]
fn a_database_reopens_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = write_chain(&open(dir.path()).unwrap(), 3);
    let head = open(dir.path()).unwrap().snapshot().head().unwrap().unwrap();
    assert_eq!((head.number, head.hash), (2, blocks[2].hash()));
    assert_eq!(Store::identity(dir.path()).unwrap(), Some(IDENTITY));
}

#[test]
fn another_chain_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap();
    let other_id = Identity { chain_id: 10, ..IDENTITY };
    let other_genesis = Identity { genesis_hash: B256::repeat_byte(0x22), ..IDENTITY };
    for other in [other_id, other_genesis] {
        match open_as(dir.path(), &other) {
            Err(StoreError::OtherChain { found, expected, .. }) => {
                assert_eq!((found, expected), (IDENTITY, other))
            }
            result => panic!("{result:?}"),
        }
    }
    open(dir.path()).unwrap();
}

#[test]
fn a_newer_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap();
    let db = raw(dir.path());
    db.put_cf(db.cf_handle("meta").unwrap(), b"schema", (SCHEMA_VERSION + 1).to_be_bytes()).unwrap();
    drop(db);
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::NewerSchema { found, .. } if found == SCHEMA_VERSION + 1), "{error}");
}

#[test]
fn a_newer_schema_with_tables_of_its_own_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap();
    let mut db = raw(dir.path());
    db.put_cf(db.cf_handle("meta").unwrap(), b"schema", 9u32.to_be_bytes()).unwrap();
    db.create_cf("receipts_v9", &rocksdb::Options::default()).unwrap();
    drop(db);
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::NewerSchema { found: 9, .. }), "{error}");
    assert_eq!(error.severity(), Severity::Fatal);
}

#[test]
fn a_foreign_rocksdb_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    drop(rocksdb::DB::open_cf(&options, dir.path(), ["theirs"]).unwrap());
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::NotADatabase { .. }), "{error}");
}

#[test]
fn other_files_and_plain_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.txt"), "mine").unwrap();
    assert!(matches!(open(dir.path()), Err(StoreError::NotADatabase { .. })));
    assert!(matches!(open(&dir.path().join("thesis.txt")), Err(StoreError::NotADatabase { .. })));
}

#[test]
fn a_database_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _held = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
    assert_eq!(error.severity(), Severity::Retry);
}

#[test]
fn a_corrupt_database_is_an_error_not_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    write_chain(&store, 5);
    store.compact().unwrap();
    drop(store);
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ext| ext == "sst") {
            let mut bytes = std::fs::read(&path).unwrap();
            for byte in bytes.iter_mut().step_by(3) {
                *byte = !*byte;
            }
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let error = open(dir.path()).and_then(|store| store.snapshot().block(3)).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_) | StoreError::Io(_)), "{error}");
}

#[test]
fn values_that_do_not_decode_are_corruption() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = write_chain(&open(dir.path()).unwrap(), 2);
    let db = raw(dir.path());
    let number = 1u64.to_be_bytes();
    for table in ["headers", "bodies", "receipts"] {
        db.put_cf(db.cf_handle(table).unwrap(), number, [9; 40]).unwrap();
    }
    db.put_cf(db.cf_handle("numbers").unwrap(), blocks[1].hash(), [1]).unwrap();
    db.put_cf(db.cf_handle("meta").unwrap(), b"head", [1]).unwrap();
    drop(db);
    let snapshot = open(dir.path()).unwrap().snapshot();
    assert!(matches!(snapshot.header(1), Err(StoreError::Corrupt(_))));
    assert!(matches!(snapshot.body(1), Err(StoreError::Corrupt(_))));
    assert!(matches!(snapshot.receipts(1), Err(StoreError::Corrupt(_))));
    assert!(matches!(snapshot.number(blocks[1].hash()), Err(StoreError::Corrupt(_))));
    assert!(matches!(snapshot.head(), Err(StoreError::Corrupt(_))));
}
