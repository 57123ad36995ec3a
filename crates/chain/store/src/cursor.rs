//! Ordered reads of leaves and nodes.

use crate::{AccountLeaf, Snapshot, StoreError, Table, codec, state_cache::Tail};
use alloy_primitives::{B256, U256};
use alloy_trie::{BranchNodeCompact, Nibbles};
use rocksdb::DBRawIterator;
use std::sync::Arc;

/// With so many entries to pass, going on is cheaper than seeking anew.
const NEAR: usize = 6;

/// More leaves than this under one path are not given at once.
const LONGEST_TAIL: usize = 32;

/// Rows of a table that begin with a prefix.
pub(crate) struct Rows<'a> {
    snapshot: &'a Snapshot,
    table: Table,
    /// The prefix, and behind it the key last sought.
    key: Vec<u8>,
    prefix: usize,
    /// Made when it is first needed: what is asked is often in memory.
    rows: Option<DBRawIterator<'a>>,
    /// There is nothing from here up to where the iterator stands.
    floor: Vec<u8>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, table: Table, prefix: &[u8]) -> Self {
        let mut key = Vec::with_capacity(96);
        key.extend_from_slice(prefix);
        Self { snapshot, table, key, prefix: prefix.len(), rows: None, floor: Vec::new() }
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.key.truncate(self.prefix);
        self.key.extend_from_slice(key);
        let rows = match &mut self.rows {
            Some(rows) => rows,
            None => {
                let total_order = self.prefix == 0;
                self.rows.insert(self.snapshot.rows(self.table, total_order)?)
            }
        };
        let begun = !self.floor.is_empty();
        if begun && self.floor <= self.key {
            for _ in 0..NEAR {
                if rows.key().is_none_or(|at| at >= self.key.as_slice()) {
                    self.floor.clone_from(&self.key);
                    return Ok(rows.status()?);
                }
                rows.next();
            }
        }
        rows.seek(&self.key);
        self.floor.clone_from(&self.key);
        Ok(rows.status()?)
    }

    fn advance(&mut self) -> Result<(), StoreError> {
        let Some(rows) = &mut self.rows else { return Ok(()) };
        if let Some(passed) = rows.key() {
            self.floor.clear();
            self.floor.extend_from_slice(passed);
            // The least key behind it.
            self.floor.push(0);
            rows.next();
        }
        Ok(rows.status()?)
    }

    fn current(&self) -> Option<(&[u8], &[u8])> {
        let rows = self.rows.as_ref()?;
        let (key, value) = (rows.key()?, rows.value()?);
        let (prefix, rest) = key.split_at_checked(self.prefix)?;
        (prefix == &self.key[..self.prefix]).then_some((rest, value))
    }
}

macro_rules! cursors {
    ($($(#[$doc:meta])* $name:ident: $key:ty => $value:ty, $seek:expr, $decode:expr;)*) => {$(
        $(#[$doc])*
        pub struct $name<'a>(Rows<'a>);

        impl<'a> $name<'a> {
            pub(crate) const fn new(rows: Rows<'a>) -> Self {
                Self(rows)
            }

            /// The first entry at or after `key`.
            pub fn seek(&mut self, key: &$key) -> Result<Option<($key, $value)>, StoreError> {
                let seek: fn(&$key) -> Vec<u8> = $seek;
                self.0.seek(&seek(key))?;
                self.current()
            }

            /// The entry after the one last given.
            #[expect(clippy::should_implement_trait, reason = "it can fail, and its entries are sought too")]
            pub fn next(&mut self) -> Result<Option<($key, $value)>, StoreError> {
                self.0.advance()?;
                self.current()
            }

            fn current(&self) -> Result<Option<($key, $value)>, StoreError> {
                self.0.current().map($decode).transpose()
            }
        }

        impl std::fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}

cursors! {
    /// Account leaves by hashed address.
    AccountCursor: B256 => AccountLeaf,
    |hashed| hashed.to_vec(),
    |(key, value)| Ok((hash(key)?, codec::decode_leaf(value)?));
    /// Slots of one account by hashed key.
    SlotCursor: B256 => U256,
    |slot| slot.to_vec(),
    |(key, value)| Ok((hash(key)?, codec::decode_value(value)?));
    /// Nodes of the account trie by path.
    AccountNodeCursor: Nibbles => BranchNodeCompact,
    |path| path.to_vec(),
    |(key, value)| Ok((codec::decode_path(key)?, codec::decode_node(value)?));
    /// Nodes of one storage trie by path.
    StorageNodeCursor: Nibbles => BranchNodeCompact,
    |path| path.to_vec(),
    |(key, value)| Ok((codec::decode_path(key)?, codec::decode_node(value)?));
}

macro_rules! tails {
    ($($name:ident: $value:ty, $cached:ident, $offer:ident;)*) => {$(
        impl $name<'_> {
            /// Every leaf under a path; `None` if there are many.
            pub fn under(&mut self, path: &Nibbles) -> Result<Option<Arc<[(B256, $value)]>>, StoreError> {
                let (snapshot, owner) = (self.0.snapshot, self.0.owner());
                if let Some(tail) = snapshot.$cached(owner, path) {
                    return Ok(Some(tail));
                }
                let mut leaves = Vec::new();
                let mut entry = self.seek(&lowest(path))?;
                while let Some((key, value)) = entry {
                    if !Nibbles::unpack(key).starts_with(path) {
                        break;
                    }
                    if leaves.len() == LONGEST_TAIL {
                        return Ok(None);
                    }
                    leaves.push((key, value));
                    entry = self.next()?;
                }
                let tail: Tail<$value> = leaves.into();
                snapshot.$offer(owner, path, &tail);
                Ok(Some(tail))
            }
        }
    )*};
}

tails! {
    AccountCursor: AccountLeaf, cached_account_tail, offer_account_tail;
    SlotCursor: U256, cached_slot_tail, offer_slot_tail;
}

impl Rows<'_> {
    /// The account whose rows these are; zero if they are not of one.
    fn owner(&self) -> B256 {
        B256::try_from(&self.key[..self.prefix]).unwrap_or_default()
    }
}

/// The lowest key that begins with a path.
fn lowest(path: &Nibbles) -> B256 {
    let mut key = B256::ZERO;
    let packed = path.pack();
    key[..packed.len()].copy_from_slice(&packed);
    key
}

fn hash(key: &[u8]) -> Result<B256, StoreError> {
    B256::try_from(key).map_err(|_| StoreError::corrupt("key of a leaf is not 32 bytes long"))
}
