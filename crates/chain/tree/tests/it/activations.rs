//! A fork that a chain went through stays where it was.

use crate::toy::{config, extend, spec, spec_with};
use std::{path::Path, sync::Arc};
use tributary_evm::Executor;
use tributary_spec::ChainSpec;
use tributary_tree::{Chain, TreeError};

fn at(time: Option<u64>) -> Arc<ChainSpec> {
    spec_with(|genesis| {
        genesis.config.extra_fields.insert("karstTime".into(), time.into());
        // The L1 fork that comes with it.
        genesis.config.osaka_time = time;
    })
}

fn open(path: &Path, spec: Arc<ChainSpec>) -> Result<Chain, TreeError> {
    Chain::open(Executor::new(spec), path, config())
}

fn refused(path: &Path, spec: Arc<ChainSpec>) -> (&'static str, Option<u64>, Option<u64>) {
    match open(path, spec).map(|_| ()) {
        Err(TreeError::Activation { name, before, given, .. }) => (name, before, given),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_activation_moves_only_while_it_lies_ahead() {
    const LATER: u64 = 4_000_000_000;
    let dir = tempfile::tempdir().unwrap();
    // Before the first block anything may be set right.
    drop(open(dir.path(), at(Some(LATER))).unwrap());
    drop(open(dir.path(), at(None)).unwrap());
    let chain = open(dir.path(), spec()).unwrap();
    let given = Some(0);
    extend(&chain, chain.head().hash(), 1..4);
    drop(chain);

    assert_eq!(refused(dir.path(), at(Some(LATER))), ("Karst", given, Some(LATER)));
    assert_eq!(refused(dir.path(), at(None)), ("Karst", given, None));
    // What was refused left nothing behind.
    drop(open(dir.path(), spec()).unwrap());
}

#[test]
fn an_activation_ahead_may_be_moved_and_taken_back() {
    const LATER: u64 = 4_000_000_000;
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path(), at(None)).unwrap();
    extend(&chain, chain.head().hash(), 1..4);
    let time = chain.head().timestamp;
    drop(chain);
    drop(open(dir.path(), at(Some(LATER))).unwrap());
    drop(open(dir.path(), at(Some(LATER + 1))).unwrap());
    assert_eq!(refused(dir.path(), at(Some(time))), ("Karst", Some(LATER + 1), Some(time)));
    drop(open(dir.path(), at(None)).unwrap());
}
