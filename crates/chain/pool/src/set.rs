//! The pool's data structure: pure, without clock, state or I/O.

use crate::{
    PoolConfig, PoolError, PooledTransaction,
    sender::{Account, Entry, Market, Rank, Sender},
};
use alloy_primitives::{
    Address, B256, U256,
    map::{AddressMap, B256Map},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    sender: Address,
    nonce: u64,
}

/// Transactions by hash and by sender, with the totals the limits speak of.
#[derive(Debug, Default)]
pub(crate) struct Set {
    limits: PoolConfig,
    market: Market,
    senders: BTreeMap<Address, Sender>,
    by_hash: B256Map<Slot>,
    /// How many pooled transactions carry an authorization of this account.
    authorities: AddressMap<usize>,
    /// Each sender's last transaction, worst first.
    tails: BTreeSet<Rank>,
    pending: Totals,
    queued: Totals,
    next_id: u64,
}

/// Count and size of one half of the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
}

/// What an operation did beside what was asked.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Became pending for the first time.
    pub(crate) promoted: Vec<Arc<PooledTransaction>>,
    /// Left the pool.
    pub(crate) removed: Vec<Arc<PooledTransaction>>,
}

impl Set {
    pub(crate) fn new(limits: PoolConfig) -> Self {
        Self { limits, ..Self::default() }
    }

    pub(crate) fn contains(&self, hash: &B256) -> bool {
        self.by_hash.contains_key(hash)
    }

    pub(crate) fn get(&self, hash: &B256) -> Option<&Arc<PooledTransaction>> {
        let slot = self.by_hash.get(hash)?;
        Some(&self.senders.get(&slot.sender)?.txs.get(&slot.nonce)?.tx)
    }

    pub(crate) fn sender(&self, address: &Address) -> Option<&Sender> {
        self.senders.get(address)
    }

    pub(crate) fn senders(&self) -> impl Iterator<Item = (&Address, &Sender)> {
        self.senders.iter()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<PooledTransaction>> {
        self.senders.values().flat_map(|sender| sender.txs.values()).map(|entry| &entry.tx)
    }

    pub(crate) fn totals(&self) -> (Totals, Totals) {
        (self.pending, self.queued)
    }

    /// Puts a validated transaction of `account` in, replacing one of the same nonce if it outbids it. When the pool
    /// is full the worst leave, which may be the new one.
    pub(crate) fn insert(
        &mut self,
        tx: Arc<PooledTransaction>,
        account: Account,
        cost: U256,
    ) -> Result<Effects, PoolError> {
        if self.contains(&tx.hash()) {
            return Err(PoolError::AlreadyKnown(tx.hash()));
        }
        self.check_limit(&tx)?;
        self.restore(tx, account, cost)
    }

    /// Puts a transaction in that was in a block: its sender may have more of them than it could have sent.
    pub(crate) fn restore(
        &mut self,
        tx: Arc<PooledTransaction>,
        account: Account,
        cost: U256,
    ) -> Result<Effects, PoolError> {
        let hash = tx.hash();
        if self.contains(&hash) {
            return Err(PoolError::AlreadyKnown(hash));
        }
        self.check_replacement(&tx)?;
        self.check_delegations(&tx, &account)?;

        let mut effects = Effects::default();
        let entry = Entry { tx: tx.clone(), id: self.next_id, cost, announced: false };
        self.next_id += 1;
        self.edit(tx.sender(), &mut effects, |sender| {
            sender.account = account;
            sender.txs.insert(tx.nonce(), entry).into_iter().collect()
        });
        self.index(&tx);
        self.enforce_totals(&mut effects);
        Ok(effects)
    }

    /// Takes one transaction out; later ones of its sender wait for the nonce.
    pub(crate) fn remove(&mut self, hash: &B256) -> Effects {
        let mut effects = Effects::default();
        if let Some(slot) = self.by_hash.get(hash).copied() {
            self.edit(slot.sender, &mut effects, |sender| {
                sender.txs.remove(&slot.nonce).into_iter().collect()
            });
        }
        // Those that wait now may be more than may wait.
        self.enforce_totals(&mut effects);
        effects
    }

    /// Takes everything of one sender out.
    pub(crate) fn remove_sender(&mut self, address: Address) -> Effects {
        let mut effects = Effects::default();
        self.edit(address, &mut effects, |sender| std::mem::take(&mut sender.txs).into_values().collect());
        effects
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) -> Effects {
        let mut effects = Effects::default();
        let addresses: Vec<Address> = self.senders.keys().copied().collect();
        for address in addresses {
            effects.removed.extend(self.remove_sender(address).removed);
        }
        effects
    }

    /// Follows a new head: `accounts` are the senders that changed, `price` says what a transaction costs now
    /// (`None`: as before). Used nonces leave, and what cannot pay with its descendants.
    pub(crate) fn follow(
        &mut self,
        market: Market,
        accounts: &AddressMap<Account>,
        price: Option<&dyn Fn(&PooledTransaction) -> U256>,
    ) -> Effects {
        let moved = self.market != market;
        self.market = market;
        let touched: Vec<Address> = if moved || price.is_some() {
            self.senders.keys().copied().collect()
        } else {
            accounts.keys().filter(|address| self.senders.contains_key(*address)).copied().collect()
        };
        let mut effects = Effects::default();
        for address in touched {
            self.edit(address, &mut effects, |sender| {
                if let Some(account) = accounts.get(&address) {
                    sender.account = *account;
                }
                if let Some(price) = price {
                    sender.txs.values_mut().for_each(|entry| entry.cost = price(&entry.tx));
                }
                let dead = sender.dead();
                dead.into_iter().filter_map(|nonce| sender.txs.remove(&nonce)).collect()
            });
        }
        self.enforce_totals(&mut effects);
        effects
    }

    /// Changes one sender and brings every index in line; `change` returns the entries it took out.
    fn edit(
        &mut self,
        address: Address,
        effects: &mut Effects,
        change: impl FnOnce(&mut Sender) -> Vec<Entry>,
    ) {
        let mut sender = self.senders.remove(&address).unwrap_or_default();
        self.unlist(&mut sender);
        for entry in change(&mut sender) {
            self.unindex(&entry.tx);
            effects.removed.push(entry.tx);
        }
        sender.ready = sender.count_ready(&self.market);
        let ready = sender.ready;
        for entry in sender.txs.values_mut().take(ready).filter(|entry| !entry.announced) {
            entry.announced = true;
            effects.promoted.push(entry.tx.clone());
        }
        if !sender.txs.is_empty() {
            self.list(&address, &mut sender);
            self.senders.insert(address, sender);
        }
    }

    fn list(&mut self, address: &Address, sender: &mut Sender) {
        sender.rank = sender.tail_rank(*address, &self.market);
        self.tails.extend(sender.rank);
        self.pending.add(sender.pending());
        self.queued.add(sender.queued());
    }

    fn unlist(&mut self, sender: &mut Sender) {
        if let Some(rank) = sender.rank.take() {
            self.tails.remove(&rank);
        }
        self.pending.subtract(sender.pending());
        self.queued.subtract(sender.queued());
    }

    fn index(&mut self, tx: &PooledTransaction) {
        self.by_hash.insert(tx.hash(), Slot { sender: tx.sender(), nonce: tx.nonce() });
        for authority in tx.authorities() {
            *self.authorities.entry(*authority).or_default() += 1;
        }
    }

    fn unindex(&mut self, tx: &PooledTransaction) {
        self.by_hash.remove(&tx.hash());
        for authority in tx.authorities() {
            if let Some(count) = self.authorities.get_mut(authority) {
                *count -= 1;
                if *count == 0 {
                    self.authorities.remove(authority);
                }
            }
        }
    }

    /// The sender has a slot left, or replaces what is in one.
    fn check_limit(&self, tx: &PooledTransaction) -> Result<(), PoolError> {
        let (sender, limit) = (tx.sender(), self.limits.max_account_slots);
        match self.senders.get(&sender) {
            Some(own) if own.txs.len() >= limit && !own.txs.contains_key(&tx.nonce()) => {
                Err(PoolError::AccountLimit { sender, limit })
            }
            _ => Ok(()),
        }
    }

    /// The nonce is free, or its transaction is outbid.
    fn check_replacement(&self, tx: &PooledTransaction) -> Result<(), PoolError> {
        let old = self.senders.get(&tx.sender()).and_then(|sender| sender.txs.get(&tx.nonce()));
        match old {
            Some(old) if !tx.outbids(&old.tx, self.limits.price_bump) => {
                Err(PoolError::ReplacementUnderpriced)
            }
            _ => Ok(()),
        }
    }

    /// EIP-7702: a delegated account's balance can be swept in any transaction, so that it gets one in flight, the next
    /// one; and nobody may delegate an account over the head of its own waiting transactions.
    fn check_delegations(&self, tx: &PooledTransaction, account: &Account) -> Result<(), PoolError> {
        let own = self.senders.get(&tx.sender());
        if account.delegated || self.authorities.contains_key(&tx.sender()) {
            let replaces = own.is_some_and(|sender| sender.txs.contains_key(&tx.nonce()));
            if !replaces && own.is_some() {
                return Err(PoolError::InflightLimit);
            }
            if !replaces && tx.nonce() != account.nonce {
                return Err(PoolError::DelegatedGap);
            }
        }
        let reserved =
            |authority: &&Address| self.senders.get(*authority).is_some_and(|own| own.txs.len() > 1);
        match tx.authorities().iter().find(reserved) {
            Some(authority) => Err(PoolError::AuthorityReserved(*authority)),
            None => Ok(()),
        }
    }

    /// Throws the worst out until both halves are within their limits.
    fn enforce_totals(&mut self, effects: &mut Effects) {
        while let Some(address) = self.victim() {
            self.edit(address, effects, |sender| {
                sender.txs.pop_last().map(|(_, entry)| entry).into_iter().collect()
            });
        }
    }

    /// Whose last transaction has to go, if any.
    fn victim(&self) -> Option<Address> {
        let (limits, worst) = (&self.limits, self.tails.first());
        if self.queued.exceeds(limits.queued_max_count, limits.queued_max_size) {
            return worst.map(|rank| rank.sender);
        }
        if self.pending.exceeds(limits.pending_max_count, limits.pending_max_size) {
            return self.tails.range(Rank::FIRST_PENDING..).next().or(worst).map(|rank| rank.sender);
        }
        None
    }
}

impl Totals {
    fn add<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) {
        for entry in entries {
            self.count += 1;
            self.bytes += entry.tx.size();
        }
    }

    fn subtract<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) {
        for entry in entries {
            self.count -= 1;
            self.bytes -= entry.tx.size();
        }
    }

    fn exceeds(&self, count: usize, bytes: usize) -> bool {
        self.count > count || self.bytes > bytes
    }
}

#[cfg(test)]
mod tests;
