//! Sources that end before the pool does.

use std::sync::atomic::{AtomicBool, Ordering};

use alloy_consensus::transaction::Recovered;
use alloy_primitives::B256;
use tributary_evm::{Rejection, TransactionSource};
use tributary_spec::Tx;

/// Ends as soon as a flag is set: the block is sealed with what it has.
pub(crate) struct Stoppable<'a, S> {
    pub(crate) inner: S,
    pub(crate) stop: &'a AtomicBool,
}

impl<S: TransactionSource> TransactionSource for Stoppable<'_, S> {
    fn next(&mut self) -> Option<Recovered<Tx>> {
        if self.stop.load(Ordering::Relaxed) { None } else { self.inner.next() }
    }

    fn reject(&mut self, hash: B256, why: &Rejection) {
        self.inner.reject(hash, why);
    }
}

/// Ends once a number of transactions was taken; rejected ones do not count.
pub(crate) struct AtMost<S> {
    inner: S,
    left: usize,
}

impl<S> AtMost<S> {
    pub(crate) const fn new(inner: S, left: usize) -> Self {
        Self { inner, left }
    }
}

impl<S: TransactionSource> TransactionSource for AtMost<S> {
    fn next(&mut self) -> Option<Recovered<Tx>> {
        self.left = self.left.checked_sub(1)?;
        self.inner.next()
    }

    fn reject(&mut self, hash: B256, why: &Rejection) {
        self.left = self.left.saturating_add(1);
        self.inner.reject(hash, why);
    }
}
