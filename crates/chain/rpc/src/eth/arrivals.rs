//! What became pending, for filters that are polled.
//!
//! Whoever listens to the pool and does not read keeps whole transactions. Filters share one listener that reads at once
//! and keeps hashes.

use alloy_primitives::B256;
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};
use tributary_pool::{Pool, PooledTransaction};

/// Hashes that are kept: what a filter may fall behind.
const KEPT: usize = 4096;

/// Hashes of transactions in the order in which they became pending. Clones share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrivals(Arc<Mutex<Option<Listener>>>);

#[derive(Debug)]
struct Listener {
    news: Receiver<Arc<PooledTransaction>>,
    kept: VecDeque<B256>,
    /// How many came before those that are kept.
    before: u64,
}

impl Listener {
    fn read(&mut self) {
        loop {
            match self.news.try_recv() {
                Ok(tx) => self.kept.push_back(tx.hash()),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
            if self.kept.len() > KEPT {
                self.kept.pop_front();
                self.before += 1;
            }
        }
    }

    fn count(&self) -> u64 {
        self.before + self.kept.len() as u64
    }
}

impl Arrivals {
    /// How many came until now. Whoever asks first starts the listening, on the runtime that it is called on.
    pub(crate) fn count(&self, pool: &Pool) -> u64 {
        let mut listener = self.0.lock();
        let listener = listener.get_or_insert_with(|| {
            tokio::spawn(self.clone().follow(pool.subscribe_pending()));
            Listener { news: pool.subscribe_pending(), kept: VecDeque::new(), before: 0 }
        });
        listener.read();
        listener.count()
    }

    /// What came after the first `seen`, as far as it is kept, and how many came until now.
    pub(crate) fn after(&self, seen: u64) -> (Vec<B256>, u64) {
        let mut listener = self.0.lock();
        let Some(listener) = listener.as_mut() else { return (Vec::new(), seen) };
        listener.read();
        let skip = usize::try_from(seen.saturating_sub(listener.before)).unwrap_or(usize::MAX);
        (listener.kept.iter().skip(skip).copied().collect(), listener.count())
    }

    /// Reads whenever there is something, so that it does not wait for a poll.
    async fn follow(self, mut wake: Receiver<Arc<PooledTransaction>>) {
        while !matches!(wake.recv().await.map(drop), Err(RecvError::Closed)) {
            if let Some(listener) = self.0.lock().as_mut() {
                listener.read();
            }
        }
    }
}
