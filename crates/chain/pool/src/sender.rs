//! The transactions of one sender.

use crate::PooledTransaction;
use alloy_consensus::Transaction;
use alloy_primitives::{Address, U256};
use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

/// What the head's state says about a sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// The next nonce.
    pub(crate) nonce: u64,
    /// What it can spend.
    pub(crate) balance: U256,
    /// Its code is an EIP-7702 delegation.
    pub(crate) delegated: bool,
}

/// What the head asks of every transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Market {
    /// The next block's base fee.
    pub(crate) base_fee: u64,
    /// The most gas a transaction may ask for.
    pub(crate) max_gas: u64,
}

/// A transaction in its slot.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) tx: Arc<PooledTransaction>,
    /// Order of arrival.
    pub(crate) id: u64,
    /// Worst-case cost at the head's L1 prices.
    pub(crate) cost: U256,
    /// Subscribers were told that it is pending.
    pub(crate) announced: bool,
}

/// What goes first when the pool is full: queued before pending, external before local, cheap before dear, new before
/// old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pending: bool,
    local: bool,
    tip: u128,
    id: Reverse<u64>,
    pub(crate) sender: Address,
}

impl Rank {
    /// All pending ones are at or after it, all queued ones before it.
    pub(crate) const FIRST_PENDING: Self =
        Self { pending: true, local: false, tip: 0, id: Reverse(u64::MAX), sender: Address::ZERO };
}

/// Transactions by nonce, of which the first `ready` are pending.
#[derive(Debug, Default)]
pub(crate) struct Sender {
    pub(crate) account: Account,
    pub(crate) txs: BTreeMap<u64, Entry>,
    pub(crate) ready: usize,
    /// The last one's place among all senders' last ones, as it was listed.
    pub(crate) rank: Option<Rank>,
}

impl Sender {
    /// The pending ones, in the order of their nonces.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &Entry> {
        self.txs.values().take(self.ready)
    }

    /// The ones that wait.
    pub(crate) fn queued(&self) -> impl Iterator<Item = &Entry> {
        self.txs.values().skip(self.ready)
    }

    /// The last one, which is the first to go when the pool is full.
    pub(crate) fn tail(&self) -> Option<&Entry> {
        self.txs.last_key_value().map(|(_, entry)| entry)
    }

    /// Where the last one stands.
    pub(crate) fn tail_rank(&self, sender: Address, market: &Market) -> Option<Rank> {
        let entry = self.tail()?;
        Some(Rank {
            pending: self.ready == self.txs.len(),
            local: entry.tx.is_local(),
            tip: entry.tx.tip(market.base_fee),
            id: Reverse(entry.id),
            sender,
        })
    }

    /// The nonce after the last one without a gap.
    pub(crate) fn next_nonce(&self) -> u64 {
        self.txs.keys().fold(self.account.nonce, |next, nonce| if *nonce == next { next + 1 } else { next })
    }

    /// Length of the prefix that could be in the next block: no gap, paid for in total, worth the base fee.
    pub(crate) fn count_ready(&self, market: &Market) -> usize {
        let mut next = self.account.nonce;
        let mut spent = U256::ZERO;
        let runs = self.txs.iter().take_while(|(nonce, entry)| {
            spent = spent.saturating_add(entry.cost);
            let fits = **nonce == next
                && spent <= self.account.balance
                && entry.tx.fee_cap() >= u128::from(market.base_fee)
                && entry.tx.transaction().gas_limit() <= market.max_gas;
            next = next.saturating_add(1);
            fits
        });
        let limit = if self.account.delegated { 1 } else { usize::MAX };
        runs.count().min(limit)
    }

    /// Nonces that are used, or that the sender can no longer pay for even alone, with everything after the latter.
    pub(crate) fn dead(&self) -> Vec<u64> {
        let unpaid = self
            .txs
            .iter()
            .find(|(nonce, entry)| **nonce >= self.account.nonce && entry.cost > self.account.balance)
            .map(|(nonce, _)| *nonce);
        self.txs
            .keys()
            .copied()
            .filter(|nonce| *nonce < self.account.nonce || unpaid.is_some_and(|first| *nonce >= first))
            .collect()
    }
}
