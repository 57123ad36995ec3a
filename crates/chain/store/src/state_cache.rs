//! The part of the head's state that was read or written lately, in memory.
//!
//! ```text
//! version      1        2        3  = the present one; every batch that changes the state makes the next
//! entry                 since 2 ──────▶         it has not changed since, so snapshots of 2 and later may read it
//! snapshot     of 1: passes it over, reads the database
//! ```
//! A snapshot knows its version by the head that is written in it. What it read from the database it may put in only while
//! its version is the present one. A batch first raises the version, then changes the entries, and is written last: whoever
//! sees its head in a snapshot finds entries that are at least as new.

use crate::{AccountLeaf, BlockNumHash, StateDiff};
use alloy_primitives::{B256, U256, map::DefaultHashBuilder};
use alloy_trie::{BranchNodeCompact, Nibbles};
use schnellru::{ByLength, LruMap};
use std::{
    hash::{BuildHasher, Hash},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Locks of a map: enough that threads seldom meet.
const SHARDS: usize = 64;

/// Heads whose versions are known.
const HEADS: u32 = 1024;

/// A diff with more leaves than this is not worth keeping.
const LARGEST_DIFF: usize = 100_000;

/// Leaves under one path.
pub(crate) type Tail<V> = Arc<[(B256, V)]>;

type Shard<K, V> = LruMap<K, (u64, V), ByLength>;

/// Entries by key, each with the version since which it has not changed.
struct Entries<K, V> {
    shards: Vec<Mutex<Shard<K, V>>>,
    hasher: DefaultHashBuilder,
}

impl<K: Hash + Eq, V: Clone> Entries<K, V> {
    fn new(most: usize) -> Self {
        let each = u32::try_from(most / SHARDS).unwrap_or(u32::MAX).max(1);
        let shards = (0..SHARDS).map(|_| Mutex::new(LruMap::new(ByLength::new(each)))).collect();
        Self { shards, hasher: DefaultHashBuilder::default() }
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, Shard<K, V>> {
        let at = self.hasher.hash_one(key) as usize % SHARDS;
        lock(&self.shards[at])
    }

    fn get(&self, key: &K, version: u64) -> Option<V> {
        // Reading does not move an entry up: what a block changes is moved up when it is written.
        let shard = self.shard(key);
        shard.peek(key).filter(|(since, _)| *since <= version).map(|(_, value)| value.clone())
    }

    /// Takes what a snapshot of that version read, if nothing can have changed since.
    fn offer(&self, key: K, value: V, version: u64, present: &AtomicU64) {
        let mut shard = self.shard(&key);
        if present.load(Ordering::SeqCst) == version {
            shard.insert(key, (version, value));
        }
    }

    fn set(&self, key: K, value: V, version: u64) {
        self.shard(&key).insert(key, (version, value));
    }

    /// Changes an entry if it is there.
    fn change(&self, key: &K, version: u64, change: impl FnOnce(&V) -> V) {
        let mut shard = self.shard(key);
        if let Some(entry) = shard.peek_mut(key) {
            *entry = (version, change(&entry.1));
        }
    }

    fn clear(&self) {
        self.shards.iter().for_each(|shard| lock(shard).clear());
    }
}

/// A panic elsewhere leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The entries of all kinds, and which version they are at.
pub(crate) struct StateCache {
    present: AtomicU64,
    heads: Mutex<LruMap<B256, u64>>,
    accounts: Entries<B256, Option<AccountLeaf>>,
    slots: Entries<(B256, B256), U256>,
    account_nodes: Entries<Nibbles, Option<BranchNodeCompact>>,
    storage_nodes: Entries<(B256, Nibbles), Option<BranchNodeCompact>>,
    account_tails: Entries<Nibbles, Tail<AccountLeaf>>,
    slot_tails: Entries<(B256, Nibbles), Tail<U256>>,
    /// Lengths of the paths in both kinds of tails, a bit each.
    tail_lengths: AtomicU64,
}

impl StateCache {
    /// Of so many leaves, and about as many nodes.
    pub(crate) fn new(leaves: usize) -> Self {
        Self {
            present: AtomicU64::new(1),
            heads: Mutex::new(LruMap::new(ByLength::new(HEADS))),
            accounts: Entries::new(leaves),
            slots: Entries::new(leaves),
            account_nodes: Entries::new(leaves / 2),
            storage_nodes: Entries::new(leaves / 2),
            account_tails: Entries::new(leaves / 2),
            slot_tails: Entries::new(leaves / 2),
            tail_lengths: AtomicU64::new(0),
        }
    }

    /// The version of the state after a head that was written lately.
    pub(crate) fn version(&self, head: BlockNumHash) -> Option<u64> {
        lock(&self.heads).get(&head.hash).copied()
    }

    /// The head that the database was opened with.
    pub(crate) fn opened(&self, head: BlockNumHash) {
        lock(&self.heads).insert(head.hash, self.present.load(Ordering::SeqCst));
    }

    /// Follows changes that are about to be written, together with the head that names the state after them. Without one
    /// nothing can be said of any snapshot.
    pub(crate) fn advance(&self, diffs: &[StateDiff], head: Option<BlockNumHash>) {
        let version = self.present.fetch_add(1, Ordering::SeqCst) + 1;
        let leaves: usize = diffs.iter().map(StateDiff::leaves).sum();
        if head.is_none() || leaves > LARGEST_DIFF {
            self.forget();
        } else {
            diffs.iter().for_each(|diff| self.apply(diff, version));
        }
        if let Some(head) = head {
            lock(&self.heads).insert(head.hash, version);
        }
    }

    fn forget(&self) {
        lock(&self.heads).clear();
        self.accounts.clear();
        self.slots.clear();
        self.account_nodes.clear();
        self.storage_nodes.clear();
        self.account_tails.clear();
        self.slot_tails.clear();
    }

    fn apply(&self, diff: &StateDiff, version: u64) {
        for (hashed, leaf) in &diff.accounts {
            self.accounts.set(*hashed, *leaf, version);
            self.tail_paths(hashed, |path| {
                self.account_tails.change(&path, version, |tail| changed(tail, hashed, *leaf));
            });
        }
        for (path, node) in &diff.account_nodes {
            self.account_nodes.set(*path, node.clone(), version);
        }
        for (hashed, storage) in &diff.storages {
            for (slot, value) in &storage.slots {
                self.slots.set((*hashed, *slot), *value, version);
                let leaf = Some(*value).filter(|value| !value.is_zero());
                self.tail_paths(slot, |path| {
                    self.slot_tails.change(&(*hashed, path), version, |tail| changed(tail, slot, leaf));
                });
            }
            for (path, node) in &storage.nodes {
                self.storage_nodes.set((*hashed, *path), node.clone(), version);
            }
        }
    }

    /// Every path above a leaf that tails may be kept under.
    fn tail_paths(&self, hashed: &B256, mut each: impl FnMut(Nibbles)) {
        let mut lengths = self.tail_lengths.load(Ordering::SeqCst);
        let whole = Nibbles::unpack(hashed);
        while lengths != 0 {
            let length = lengths.trailing_zeros() as usize;
            lengths &= lengths - 1;
            each(whole.slice(..length));
        }
    }

    pub(crate) fn account(&self, hashed: &B256, version: u64) -> Option<Option<AccountLeaf>> {
        self.accounts.get(hashed, version)
    }

    pub(crate) fn offer_account(&self, hashed: B256, leaf: Option<AccountLeaf>, version: u64) {
        self.accounts.offer(hashed, leaf, version, &self.present);
    }

    pub(crate) fn slot(&self, hashed: B256, slot: B256, version: u64) -> Option<U256> {
        self.slots.get(&(hashed, slot), version)
    }

    pub(crate) fn offer_slot(&self, hashed: B256, slot: B256, value: U256, version: u64) {
        self.slots.offer((hashed, slot), value, version, &self.present);
    }

    pub(crate) fn account_node(&self, path: &Nibbles, version: u64) -> Option<Option<BranchNodeCompact>> {
        self.account_nodes.get(path, version)
    }

    pub(crate) fn offer_account_node(&self, path: Nibbles, node: Option<BranchNodeCompact>, version: u64) {
        self.account_nodes.offer(path, node, version, &self.present);
    }

    pub(crate) fn storage_node(
        &self,
        hashed: B256,
        path: &Nibbles,
        version: u64,
    ) -> Option<Option<BranchNodeCompact>> {
        self.storage_nodes.get(&(hashed, *path), version)
    }

    pub(crate) fn offer_storage_node(
        &self,
        hashed: B256,
        path: Nibbles,
        node: Option<BranchNodeCompact>,
        version: u64,
    ) {
        self.storage_nodes.offer((hashed, path), node, version, &self.present);
    }

    pub(crate) fn account_tail(&self, path: &Nibbles, version: u64) -> Option<Tail<AccountLeaf>> {
        self.account_tails.get(path, version)
    }

    pub(crate) fn offer_account_tail(&self, path: Nibbles, tail: Tail<AccountLeaf>, version: u64) {
        if self.note_length(&path) {
            self.account_tails.offer(path, tail, version, &self.present);
        }
    }

    pub(crate) fn slot_tail(&self, hashed: B256, path: &Nibbles, version: u64) -> Option<Tail<U256>> {
        self.slot_tails.get(&(hashed, *path), version)
    }

    pub(crate) fn offer_slot_tail(&self, hashed: B256, path: Nibbles, tail: Tail<U256>, version: u64) {
        if self.note_length(&path) {
            self.slot_tails.offer((hashed, path), tail, version, &self.present);
        }
    }

    /// Before a tail is put in, so that a batch which begins later looks for it.
    fn note_length(&self, path: &Nibbles) -> bool {
        let fits = path.len() < u64::BITS as usize;
        if fits {
            self.tail_lengths.fetch_or(1 << path.len(), Ordering::SeqCst);
        }
        fits
    }
}

/// A tail with one leaf set or removed.
fn changed<V: Copy>(tail: &Tail<V>, key: &B256, leaf: Option<V>) -> Tail<V> {
    match (tail.binary_search_by(|(at, _)| at.cmp(key)), leaf) {
        (Ok(at), Some(leaf)) => {
            let mut tail = tail.to_vec();
            tail[at].1 = leaf;
            tail.into()
        }
        (Ok(at), None) => [&tail[..at], &tail[at + 1..]].concat().into(),
        (Err(at), Some(leaf)) => {
            let mut tail = tail.to_vec();
            tail.insert(at, (*key, leaf));
            tail.into()
        }
        (Err(_), None) => Arc::clone(tail),
    }
}
