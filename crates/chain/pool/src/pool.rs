//! The pool's handle: validation at the head, following the chain, views, subscriptions.

use crate::{
    BestTransactions, Head, Origin, PoolConfig, PoolError, PooledTransaction,
    journal::Journal,
    sender::{Account, Sender},
    set::{Effects, Set},
    validate,
};
use alloy_primitives::{
    Address, B256,
    map::{AddressMap, B256Set},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::broadcast::{self, error::TryRecvError};
use tributary_evm::Executor;
use tributary_tree::{CanonEvent, Chain};

/// New pending transactions that a slow subscriber may fall behind.
const SUBSCRIPTION_BUFFER: usize = 4096;

/// The pool. Clones share one pool.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    executor: Executor,
    chain: Chain,
    config: PoolConfig,
    inner: Mutex<Inner>,
    announcements: broadcast::Sender<Arc<PooledTransaction>>,
    /// How often the content changed.
    changes: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    head: Head,
    set: Set,
    events: broadcast::Receiver<CanonEvent>,
    journal: Option<Journal>,
}

/// Transactions by sender and nonce.
pub type BySender = BTreeMap<Address, BTreeMap<u64, Arc<PooledTransaction>>>;

/// What the pool holds.
#[derive(Clone, Debug, Default)]
pub struct PoolContent {
    /// Executable in the next block.
    pub pending: BySender,
    /// Waiting for a nonce, for funds, or for a lower base fee.
    pub queued: BySender,
}

/// How much the pool holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// Executable transactions.
    pub pending: usize,
    /// Bytes of them.
    pub pending_bytes: usize,
    /// Waiting transactions.
    pub queued: usize,
    /// Bytes of them.
    pub queued_bytes: usize,
}

impl Pool {
    /// A pool at the chain's head, with the journal's transactions put back in.
    pub fn open(executor: Executor, chain: Chain, config: PoolConfig) -> Result<Self, PoolError> {
        let events = chain.subscribe();
        let head = read_head(&executor, &chain)?;
        let (journal, kept) = open_journal(&config);
        let mut set = Set::new(config.clone());
        set.follow(head.market(), &AddressMap::default(), None);
        let inner = Mutex::new(Inner { head, set, events, journal: None });
        let (announcements, _) = broadcast::channel(SUBSCRIPTION_BUFFER);
        let pool = Self(Arc::new(Shared {
            executor,
            chain,
            config,
            inner,
            announcements,
            changes: AtomicU64::new(0),
        }));
        let total = kept.len();
        let taken = kept.into_iter().filter(|tx| pool.add(tx.clone()).is_ok()).count();
        if total > 0 {
            tracing::info!(target: "txpool", taken, total, "Local transactions read from the journal");
        }
        pool.0.inner.lock().journal = journal;
        Ok(pool)
    }

    /// Takes a raw transaction.
    pub fn add_raw(&self, raw: &[u8], origin: Origin) -> Result<B256, PoolError> {
        if raw.len() > self.0.config.max_tx_size {
            return Err(PoolError::Oversized { size: raw.len(), limit: self.0.config.max_tx_size });
        }
        self.add(PooledTransaction::decode(raw, origin)?)
    }

    /// Takes a decoded transaction.
    pub fn add(&self, tx: PooledTransaction) -> Result<B256, PoolError> {
        let added = self.try_add(tx);
        let result = if added.is_ok() { "taken" } else { "refused" };
        metrics::counter!("tributary_pool_transactions_total", "result" => result).increment(1);
        added
    }

    fn try_add(&self, tx: PooledTransaction) -> Result<B256, PoolError> {
        let mut inner = self.synced();
        let inner = &mut *inner;
        let tx = if self.0.config.no_locals { tx.into_external() } else { tx };
        let hash = tx.hash();
        if inner.set.contains(&hash) {
            return Err(PoolError::AlreadyKnown(hash));
        }
        validate::check_static(&tx, &self.0.config, self.0.executor.spec().chain_id(), &inner.head)?;
        let account = inner.head.sender(tx.sender())?;
        let cost = validate::check_account(&tx, &account, &inner.head)?;
        let tx = Arc::new(tx);
        let effects = inner.set.insert(tx.clone(), account, cost)?;
        self.announce(effects);
        gauge(&inner.set);
        if !inner.set.contains(&hash) {
            return Err(PoolError::Full);
        }
        if tx.is_local()
            && let Some(Err(error)) = inner.journal.as_mut().map(|journal| journal.append(&tx))
        {
            tracing::warn!(target: "txpool", %error, "transaction not journalled");
        }
        Ok(hash)
    }

    /// Takes one transaction out; later ones of its sender wait for the nonce.
    pub fn remove(&self, hash: &B256) {
        let effects = self.0.inner.lock().set.remove(hash);
        self.announce(effects);
    }

    /// Takes everything out, and out of the journal, lest it comes back with a restart. Says how much that was.
    pub fn clear(&self) -> usize {
        let mut inner = self.synced();
        let inner = &mut *inner;
        let effects = inner.set.clear();
        let count = effects.removed.len();
        self.announce(effects);
        gauge(&inner.set);
        if let Some(Err(error)) = inner.journal.as_mut().map(Journal::clear) {
            tracing::warn!(target: "txpool", %error, "journal not emptied: its transactions come back with a restart");
        }
        count
    }

    /// The pending transactions in the order in which a child of `parent` with this base fee takes them. On another
    /// block than the head, what cannot be included says nothing about the transaction, and none leaves the pool.
    pub fn best(&self, parent: B256, base_fee: u64) -> BestTransactions {
        let inner = self.synced();
        let judge = (inner.head.hash() == parent).then(|| self.clone());
        let queue = |sender: &Sender| -> VecDeque<_> {
            sender.pending().map(|entry| (entry.id, entry.tx.clone())).collect()
        };
        let queues = inner.set.senders().filter(|(_, sender)| sender.ready > 0);
        let queues = queues.map(|(address, sender)| (*address, queue(sender))).collect();
        drop(inner);
        BestTransactions::new(judge, base_fee, queues)
    }

    /// A pooled transaction.
    pub fn get(&self, hash: &B256) -> Option<Arc<PooledTransaction>> {
        self.synced().set.get(hash).cloned()
    }

    /// The nonce after the sender's last one without a gap; `None` if it has nothing here.
    pub fn next_nonce(&self, sender: &Address) -> Option<u64> {
        self.synced().set.sender(sender).map(Sender::next_nonce)
    }

    /// All transactions, by sender and nonce.
    pub fn content(&self) -> PoolContent {
        let inner = self.synced();
        let mut content = PoolContent::default();
        for (address, sender) in inner.set.senders() {
            content.put(*address, sender);
        }
        content
    }

    /// The transactions of one sender.
    pub fn content_from(&self, address: Address) -> PoolContent {
        let inner = self.synced();
        let mut content = PoolContent::default();
        if let Some(sender) = inner.set.sender(&address) {
            content.put(address, sender);
        }
        content
    }

    /// How much it holds.
    pub fn status(&self) -> PoolStatus {
        let (pending, queued) = self.synced().set.totals();
        PoolStatus {
            pending: pending.count,
            pending_bytes: pending.bytes,
            queued: queued.count,
            queued_bytes: queued.bytes,
        }
    }

    /// The base fee that transactions are measured with.
    pub fn base_fee(&self) -> u64 {
        self.synced().head.base_fee()
    }

    /// The head that the pool is at.
    pub fn head(&self) -> Head {
        self.synced().head.clone()
    }

    /// Every transaction as it becomes pending.
    pub fn subscribe_pending(&self) -> broadcast::Receiver<Arc<PooledTransaction>> {
        self.0.announcements.subscribe()
    }

    /// Brings the pool to the chain's head. Every call above does so by itself; a task that calls this on each event
    /// keeps subscriptions prompt while nobody asks.
    pub fn sync(&self) {
        drop(self.synced());
    }

    /// Follows the chain until it is closed.
    pub async fn maintain(self) {
        let mut wake = self.0.chain.subscribe();
        while !matches!(wake.recv().await, Err(broadcast::error::RecvError::Closed)) {
            let pool = self.clone();
            if tokio::task::spawn_blocking(move || pool.sync()).await.is_err() {
                break;
            }
        }
    }

    /// A number that changes whenever the content does: who builds from the pool need not do so again before.
    pub fn changes(&self) -> u64 {
        drop(self.synced());
        self.0.changes.load(Ordering::Relaxed)
    }

    /// After every change of the content.
    fn announce(&self, effects: Effects) {
        self.0.changes.fetch_add(1, Ordering::Relaxed);
        for tx in effects.promoted {
            let _ = self.0.announcements.send(tx);
        }
    }

    /// The inside, after all that happened on the chain.
    fn synced(&self) -> parking_lot::MutexGuard<'_, Inner> {
        let mut inner = self.0.inner.lock();
        let mut news = News::default();
        loop {
            match inner.events.try_recv() {
                Ok(event) => news.take(&event),
                Err(TryRecvError::Lagged(_)) => news.lost = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        if news.any()
            && let Err(error) = self.catch_up(&mut inner, news)
        {
            tracing::error!(target: "txpool", %error, "cannot read the head's state; the pool stays at the old head");
        }
        inner
    }

    /// Moves to the chain's head, re-prices everything, and puts back what a reorganisation took out of the chain.
    fn catch_up(&self, inner: &mut Inner, news: News) -> Result<(), PoolError> {
        let head = read_head(&self.0.executor, &self.0.chain)?;
        let mut accounts = AddressMap::<Account>::default();
        let mut gone = Vec::new();
        for (address, _) in inner.set.senders().filter(|(address, _)| news.concerns(address)) {
            match head.sender(*address) {
                Ok(account) => drop(accounts.insert(*address, account)),
                Err(PoolError::SenderNotEoa(_)) => gone.push(*address),
                Err(error) => return Err(error),
            }
        }
        for address in gone {
            self.announce(inner.set.remove_sender(address));
        }
        let price = |tx: &PooledTransaction| validate::cost(tx, &head);
        let price: Option<&dyn Fn(&PooledTransaction) -> _> =
            if head.same_rollup_prices(&inner.head) { None } else { Some(&price) };
        self.announce(inner.set.follow(head.market(), &accounts, price));
        inner.head = head;
        self.put_back(inner, news);
        gauge(&inner.set);
        if let Some(Err(error)) = inner.journal.as_mut().map(|journal| journal.tidy(inner.set.all())) {
            tracing::warn!(target: "txpool", %error, "journal not rewritten");
        }
        Ok(())
    }

    /// Transactions of blocks that are no longer canonical wait again.
    fn put_back(&self, inner: &mut Inner, news: News) {
        for tx in news.dropped.into_values().filter(|tx| !news.mined.contains(&tx.hash())) {
            let taken = (|| {
                validate::check_static(&tx, &self.0.config, self.0.executor.spec().chain_id(), &inner.head)?;
                let account = inner.head.sender(tx.sender())?;
                let cost = validate::check_account(&tx, &account, &inner.head)?;
                inner.set.restore(Arc::new(tx), account, cost)
            })();
            match taken {
                Ok(effects) => self.announce(effects),
                Err(error) => {
                    tracing::debug!(target: "txpool", %error, "transaction of a dropped block not put back")
                }
            }
        }
    }
}

impl PoolContent {
    fn put(&mut self, address: Address, sender: &Sender) {
        for (half, entries) in [
            (&mut self.pending, sender.pending().collect::<Vec<_>>()),
            (&mut self.queued, sender.queued().collect()),
        ] {
            if !entries.is_empty() {
                half.insert(
                    address,
                    entries.into_iter().map(|entry| (entry.tx.nonce(), entry.tx.clone())).collect(),
                );
            }
        }
    }
}

/// What happened on the chain since the pool last looked.
#[derive(Default)]
struct News {
    /// Accounts that blocks changed.
    changed: alloy_primitives::map::AddressSet,
    /// A reorganisation, or lost events: every account may have changed.
    lost: bool,
    /// Transactions that are in the chain now.
    mined: B256Set,
    /// Transactions of blocks that left the chain, in their order.
    dropped: BTreeMap<(Address, u64), PooledTransaction>,
    seen: bool,
}

impl News {
    fn take(&mut self, event: &CanonEvent) {
        self.seen = true;
        let (old, new) = (event.removed(), event.added());
        self.lost |= !old.is_empty();
        for block in old {
            for tx in block.block.recovered() {
                self.mined.remove(&tx.inner().tx_hash());
                if let Ok(tx) = PooledTransaction::new(tx.cloned(), Origin::External) {
                    self.dropped.insert((tx.sender(), tx.nonce()), tx);
                }
            }
        }
        for block in new {
            // A block that came back from the store does not tell what it did.
            self.lost |= block.bundle.state.is_empty();
            self.changed.extend(block.bundle.state.keys());
            self.mined.extend(block.block.transactions().iter().map(|tx| tx.tx_hash()));
        }
    }

    fn any(&self) -> bool {
        self.seen || self.lost
    }

    fn concerns(&self, address: &Address) -> bool {
        self.lost || self.changed.contains(address)
    }
}

fn gauge(set: &Set) {
    let (pending, queued) = set.totals();
    metrics::gauge!("tributary_pool_pending_transactions").set(pending.count as f64);
    metrics::gauge!("tributary_pool_pending_bytes").set(pending.bytes as f64);
    metrics::gauge!("tributary_pool_queued_transactions").set(queued.count as f64);
    metrics::gauge!("tributary_pool_queued_bytes").set(queued.bytes as f64);
}

fn read_head(executor: &Executor, chain: &Chain) -> Result<Head, PoolError> {
    let header = chain.head();
    let state = chain.state_at(header.hash())?;
    Head::new(executor, &header, state)
}

/// A journal that cannot be opened is reported, not fatal: the pool works without.
fn open_journal(config: &PoolConfig) -> (Option<Journal>, Vec<PooledTransaction>) {
    let Some(path) = &config.journal else { return (None, Vec::new()) };
    match Journal::open(path) {
        Ok((journal, kept)) => (Some(journal), kept),
        Err(error) => {
            tracing::warn!(target: "txpool", %error, path = %path.display(), "journal not opened");
            (None, Vec::new())
        }
    }
}
