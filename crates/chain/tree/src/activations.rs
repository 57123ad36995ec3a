//! When what is activated, as the database remembers it: a chain that went through a fork does not open under a schedule that moves it.

use crate::TreeError;
use std::collections::BTreeMap;
use tributary_spec::{At, ChainSpec, SealedHeader};
use tributary_store::Store;

/// Compares with what the chain was opened with before, and keeps what it is opened with now.
pub(crate) fn check(store: &Store, spec: &ChainSpec, head: &SealedHeader) -> Result<(), TreeError> {
    let given = spec.activations();
    let text: String = given.iter().map(|(name, time)| format!("{name} {}\n", At(*time))).collect();
    let Some(kept) = store.snapshot().activations()? else { return keep(store, &text) };
    if kept == text {
        return Ok(());
    }
    let kept: BTreeMap<&str, &str> = kept.lines().filter_map(|line| line.split_once(' ')).collect();
    for (name, time) in given {
        // A fork that the database has never heard of was not active.
        let before = kept.get(name).and_then(|time| time.parse::<u64>().ok());
        let moved = before != time;
        let passed = |time: Option<u64>| time.is_some_and(|time| time <= head.timestamp);
        if moved && head.number > 0 && (passed(before) || passed(time)) {
            return Err(TreeError::Activation { name, before, given: time, head: head.number });
        }
    }
    keep(store, &text)
}

fn keep(store: &Store, text: &str) -> Result<(), TreeError> {
    let mut batch = store.batch();
    batch.put_activations(text)?;
    Ok(batch.commit(true)?)
}
