//! The order in which a block takes transactions.

use crate::{Pool, PooledTransaction};
use alloy_consensus::transaction::Recovered;
use alloy_primitives::{
    Address, B256,
    map::{AddressMap, AddressSet},
};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    sync::Arc,
};
use tributary_evm::{Rejection, TransactionSource};
use tributary_spec::Tx;

/// A candidate: its tip first, then who came first.
type Bid = (u128, Reverse<u64>, Address);

/// A snapshot of the pending transactions, dearest first, each sender's in the order of its nonces.
///
/// After a rejection the later transactions of that sender are passed over; one that can never be in a block leaves the
/// pool as well, if the block is a child of the pool's head.
#[derive(Debug)]
pub struct BestTransactions {
    judge: Option<Pool>,
    base_fee: u64,
    /// Number and time of the block.
    place: Option<(u64, u64)>,
    bids: BinaryHeap<Bid>,
    queues: AddressMap<VecDeque<(u64, Arc<PooledTransaction>)>>,
    last: Option<(Address, B256)>,
    passed_over: AddressSet,
}

impl BestTransactions {
    pub(crate) fn new(
        judge: Option<Pool>,
        base_fee: u64,
        queues: AddressMap<VecDeque<(u64, Arc<PooledTransaction>)>>,
    ) -> Self {
        let mut best = Self {
            judge,
            base_fee,
            place: None,
            bids: BinaryHeap::with_capacity(queues.len()),
            queues,
            last: None,
            passed_over: AddressSet::default(),
        };
        let senders: Vec<Address> = best.queues.keys().copied().collect();
        senders.into_iter().for_each(|sender| best.bid(sender));
        best
    }

    /// Tells number and time of the block; without, transactions that are bound to blocks are passed over.
    pub fn for_block(self, number: u64, time: u64) -> Self {
        Self { place: Some((number, time)), ..self }
    }

    /// The next transaction of the block.
    pub fn next_pooled(&mut self) -> Option<Arc<PooledTransaction>> {
        if let Some((sender, _)) = self.last.take() {
            self.bid(sender);
        }
        loop {
            let (_, _, sender) = self.bids.pop()?;
            let (_, tx) = self.queues.get_mut(&sender)?.pop_front()?;
            if self.admits(&tx) {
                self.last = Some((sender, tx.hash()));
                return Some(tx);
            }
            self.passed_over.insert(sender);
        }
    }

    /// Whether the transaction may be in this block. One whose time is over leaves the pool.
    fn admits(&self, tx: &PooledTransaction) -> bool {
        if tx.window().is_open() {
            return true;
        }
        let Some((number, time)) = self.place else { return false };
        if let Some(pool) = self.judge.as_ref().filter(|_| tx.window().is_over(number, time)) {
            pool.remove(&tx.hash());
        }
        tx.window().admits(number, time)
    }

    /// Enters the sender's next transaction, unless one before it was refused or it does not pay the base fee.
    fn bid(&mut self, sender: Address) {
        if self.passed_over.contains(&sender) {
            return;
        }
        if let Some((id, tx)) = self.queues.get(&sender).and_then(VecDeque::front)
            && tx.fee_cap() >= u128::from(self.base_fee)
        {
            self.bids.push((tx.tip(self.base_fee), Reverse(*id), sender));
        }
    }
}

impl TransactionSource for BestTransactions {
    fn next(&mut self) -> Option<Recovered<Tx>> {
        self.next_pooled().map(|tx| tx.transaction().clone())
    }

    fn reject(&mut self, hash: B256, why: &Rejection) {
        if let Some((sender, _)) = self.last.filter(|(_, last)| *last == hash) {
            self.passed_over.insert(sender);
        }
        if let Some(pool) = self.judge.as_ref().filter(|_| !why.is_temporary()) {
            tracing::debug!(target: "txpool", %hash, %why, "transaction can never be in a block, dropped");
            pool.remove(&hash);
        }
    }
}
