//! Loss of power: of the database's log, only what was forced to the disk is sure to be there.

use crate::{
    dev::{grow, open_with},
    toy::config,
};
use alloy_primitives::B256;
use rand::Rng;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tributary_tree::{ChainConfig, Durability, StoreOptions, verify};

const BLOCKS: usize = 30;
const CUTS: usize = 12;

/// The log that is written to: so few blocks do not fill it.
fn log_of(database: &Path) -> PathBuf {
    let files = fs::read_dir(database).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|it| it == "log")).max().unwrap()
}

fn length_of_log(database: &Path) -> u64 {
    log_of(database).metadata().unwrap().len()
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() && entry.file_name() != "LOCK" {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn a_log_cut_behind_what_was_acknowledged_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = StoreOptions { write_buffer_bytes: 1 << 30, ..config().store };
    let durable = ChainConfig { durability: Durability::Acknowledged, sync: true, store, ..config() };
    let chain = open_with(dir.path(), durable.clone()).unwrap();
    chain.flush().unwrap();
    // Of each acknowledged head: how long the log was when it was said.
    let first = log_of(dir.path());
    let mut acknowledged: Vec<(u64, B256, Option<B256>)> = Vec::new();
    for index in 1..=BLOCKS {
        // Every fifth time to another branch, of fewer blocks, of as many, or of more.
        let (depth, blocks) = if index % 5 == 0 { (2, index as u64 / 5 % 4) } else { (0, 1) };
        let mut head = chain.canonical_hash(chain.head().number - depth).unwrap().unwrap();
        for _ in 0..blocks {
            head = grow(&chain, head, 1 + index as u64);
        }
        let safe = chain.head().number.checked_sub(4).map(|at| chain.canonical_hash(at).unwrap().unwrap());
        chain.set_forkchoice(head, safe, safe).unwrap();
        acknowledged.push((length_of_log(dir.path()), head, chain.safe().map(|safe| safe.hash())));
    }
    chain.flush().unwrap();
    let (log, whole) = (log_of(dir.path()), length_of_log(dir.path()));
    assert!(acknowledged.is_sorted() && whole > acknowledged[0].0 && log == first, "{log:?}, {first:?}");

    let mut random = rand::rng();
    for _ in 0..CUTS {
        let cut = random.random_range(acknowledged[0].0..=whole);
        let after = tempfile::tempdir().unwrap();
        copy(dir.path(), after.path());
        let log = fs::OpenOptions::new().write(true).open(log_of(after.path())).unwrap();
        log.set_len(cut).unwrap();
        let chain = open_with(after.path(), durable.clone()).unwrap();
        let last = acknowledged.iter().rposition(|(length, ..)| *length <= cut).unwrap();
        // The next one may be in the log and was not said yet.
        let labels = (chain.head().hash(), chain.safe().map(|safe| safe.hash()));
        let expected = acknowledged[last..].iter().take(2).any(|(_, head, safe)| labels == (*head, *safe));
        assert!(expected, "cut at {cut} of {whole}: {labels:?}, acknowledged {last}");
        verify(chain.store(), |_, _, _| ()).unwrap();
    }
}
