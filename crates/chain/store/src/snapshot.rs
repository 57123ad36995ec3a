//! Typed reads from one point in time.

use crate::{
    AccountCursor, AccountLeaf, AccountNodeCursor, BlockNumHash, SlotCursor, StateDiff, StorageNodeCursor,
    StoreError, Table, codec,
    cursor::Rows,
    state_cache::{StateCache, Tail},
    store::Inner,
};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_trie::{BranchNodeCompact, Nibbles};
use rocksdb::{DB, DBPinnableSlice, DBRawIterator, ReadOptions, SnapshotWithThreadMode};
use self_cell::self_cell;
use std::{
    fmt,
    sync::{Arc, OnceLock},
};
use tributary_spec::{BlockBody, Receipt, RecoveredBlock, SealedHeader};

type DbSnapshot<'a> = SnapshotWithThreadMode<'a, DB>;

self_cell!(
    struct SnapshotCell {
        owner: Arc<Inner>,
        #[covariant]
        dependent: DbSnapshot,
    }
);

/// A label of the fork choice that is persisted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// Derived from data on L1.
    Safe,
    /// Derived from finalized data on L1.
    Finalized,
}

impl Label {
    pub(crate) const fn key(self) -> &'static [u8] {
        match self {
            Self::Safe => b"safe",
            Self::Finalized => b"finalized",
        }
    }
}

/// Where a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionLocation {
    /// Number of its block.
    pub number: u64,
    /// Its place in the block.
    pub index: u32,
}

pub(crate) const HEAD_KEY: &[u8] = b"head";
pub(crate) const OLDEST_DIFF_KEY: &[u8] = b"oldest_diff";
pub(crate) const ACTIVATIONS_KEY: &[u8] = b"activations";
pub(crate) const CHOICE_KEY: &[u8] = b"choice";
pub(crate) const AHEAD_PREFIX: &[u8] = b"ahead/";

/// Where a block is kept until what it did is written.
pub(crate) fn ahead_key(block: BlockNumHash) -> Vec<u8> {
    [AHEAD_PREFIX, &block.number.to_be_bytes(), block.hash.as_slice()].concat()
}

/// The fork choice that was acknowledged last. What is written may be behind it, or on its way back from another branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The head.
    pub head: BlockNumHash,
    /// Hash of the safe block; zero if there is none.
    pub safe: B256,
    /// Hash of the finalized block; zero if there is none.
    pub finalized: B256,
}

impl Choice {
    const LENGTH: usize = 8 + 3 * 32;

    pub(crate) fn encode(&self) -> Vec<u8> {
        let number = self.head.number.to_be_bytes();
        [&number[..], self.head.hash.as_slice(), self.safe.as_slice(), self.finalized.as_slice()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (number, hashes) = bytes.split_first_chunk::<8>().filter(|_| bytes.len() == Self::LENGTH)?;
        let hash = |index: usize| B256::from_slice(&hashes[32 * index..32 * (index + 1)]);
        let head = BlockNumHash::new(u64::from_be_bytes(*number), hash(0));
        Some(Self { head, safe: hash(1), finalized: hash(2) })
    }
}

/// The database as it was when the snapshot was taken. Clones share it.
#[derive(Clone)]
pub struct Snapshot(Arc<Taken>);

struct Taken {
    cell: SnapshotCell,
    /// The version of the state in the cache, looked up when it is first needed; `None`: the cache does not know it.
    version: OnceLock<Option<u64>>,
}

pub(crate) fn take(inner: Arc<Inner>) -> Snapshot {
    let cell = SnapshotCell::new(inner, |inner| inner.db.snapshot());
    Snapshot(Arc::new(Taken { cell, version: OnceLock::new() }))
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshot")
    }
}

/// Reads of the chain.
impl Snapshot {
    /// The last block written; `None` before genesis is.
    pub fn head(&self) -> Result<Option<BlockNumHash>, StoreError> {
        self.block_ref(HEAD_KEY)
    }

    /// A persisted label; `None` if it was never set.
    pub fn label(&self, label: Label) -> Result<Option<BlockNumHash>, StoreError> {
        self.block_ref(label.key())
    }

    fn block_ref(&self, key: &[u8]) -> Result<Option<BlockNumHash>, StoreError> {
        self.get(Table::Meta, key)?
            .map(|bytes| {
                let (number, hash) = bytes
                    .split_first_chunk::<8>()
                    .filter(|(_, hash)| hash.len() == 32)
                    .ok_or_else(|| StoreError::corrupt("label is malformed"))?;
                Ok(BlockNumHash::new(u64::from_be_bytes(*number), B256::from_slice(hash)))
            })
            .transpose()
    }

    /// A block that was acknowledged and may not be written yet.
    pub fn ahead(&self, block: BlockNumHash) -> Result<Option<RecoveredBlock>, StoreError> {
        self.get(Table::Meta, ahead_key(block))?.map(|bytes| codec::decode_whole(&bytes)).transpose()
    }

    /// The chain's activations as text, as they were when it was opened last.
    pub fn activations(&self) -> Result<Option<String>, StoreError> {
        let bytes = self.get(Table::Meta, ACTIVATIONS_KEY)?;
        let malformed = |_| StoreError::corrupt("the chain's activations are malformed");
        bytes.map(|bytes| String::from_utf8(bytes.to_vec()).map_err(malformed)).transpose()
    }

    /// The fork choice that was acknowledged last. `None` if there was none since what is written was complete.
    pub fn choice(&self) -> Result<Option<Choice>, StoreError> {
        let bytes = self.get(Table::Meta, CHOICE_KEY)?;
        let malformed = || StoreError::corrupt("the acknowledged fork choice is malformed");
        bytes.map(|bytes| Choice::decode(&bytes).ok_or_else(malformed)).transpose()
    }

    /// The header of block `number`.
    pub fn header(&self, number: u64) -> Result<Option<SealedHeader>, StoreError> {
        self.get(Table::Headers, number.to_be_bytes())?.map(|bytes| codec::decode_header(&bytes)).transpose()
    }

    /// The hash of block `number`.
    pub fn hash(&self, number: u64) -> Result<Option<B256>, StoreError> {
        self.get(Table::Headers, number.to_be_bytes())?.map(|bytes| codec::header_hash(&bytes)).transpose()
    }

    /// The number of the block with this hash.
    pub fn number(&self, hash: B256) -> Result<Option<u64>, StoreError> {
        self.get(Table::Numbers, hash)?.map(|bytes| be_u64(&bytes)).transpose()
    }

    /// Body and senders of block `number`.
    pub fn body(&self, number: u64) -> Result<Option<(BlockBody, Vec<Address>)>, StoreError> {
        self.get(Table::Bodies, number.to_be_bytes())?.map(|bytes| codec::decode_body(&bytes)).transpose()
    }

    /// Block `number` with its senders.
    pub fn block(&self, number: u64) -> Result<Option<RecoveredBlock>, StoreError> {
        let Some(header) = self.header(number)? else { return Ok(None) };
        let (body, senders) =
            self.body(number)?.ok_or_else(|| StoreError::corrupt(format!("block {number} has no body")))?;
        Ok(Some(RecoveredBlock::new_unchecked(header, body, senders)))
    }

    /// The receipts of block `number`.
    pub fn receipts(&self, number: u64) -> Result<Option<Vec<Receipt>>, StoreError> {
        self.get(Table::Receipts, number.to_be_bytes())?
            .map(|bytes| codec::decode_receipts(&bytes))
            .transpose()
    }

    /// Where a transaction is.
    pub fn transaction(&self, hash: B256) -> Result<Option<TransactionLocation>, StoreError> {
        self.get(Table::Transactions, hash)?
            .map(|bytes| {
                let (number, index) = bytes
                    .split_first_chunk::<8>()
                    .and_then(|(number, rest)| Some((*number, <[u8; 4]>::try_from(rest).ok()?)))
                    .ok_or_else(|| StoreError::corrupt("transaction's location is malformed"))?;
                Ok(TransactionLocation {
                    number: u64::from_be_bytes(number),
                    index: u32::from_be_bytes(index),
                })
            })
            .transpose()
    }
}

/// Reads of the state after the head, which may be in memory.
impl Snapshot {
    /// An account leaf by hashed address.
    pub fn account(&self, hashed: B256) -> Result<Option<AccountLeaf>, StoreError> {
        self.cached(
            |cache, version| cache.account(&hashed, version),
            || self.get(Table::Accounts, hashed)?.map(|bytes| codec::decode_leaf(&bytes)).transpose(),
            |cache, leaf, version| cache.offer_account(hashed, *leaf, version),
        )
    }

    /// A slot by hashed address and hashed key.
    pub fn slot(&self, hashed: B256, slot: B256) -> Result<U256, StoreError> {
        self.cached(
            |cache, version| cache.slot(hashed, slot, version),
            || match self.get(Table::Storages, joined(hashed, slot.as_slice()))? {
                Some(bytes) => codec::decode_value(&bytes),
                None => Ok(U256::ZERO),
            },
            |cache, value, version| cache.offer_slot(hashed, slot, *value, version),
        )
    }

    /// Code by its hash.
    pub fn code(&self, hash: B256) -> Result<Option<Bytes>, StoreError> {
        Ok(self.get(Table::Codes, hash)?.map(|bytes| Bytes::copy_from_slice(&bytes)))
    }

    /// A branch node of the account trie.
    pub fn account_node(&self, path: &Nibbles) -> Result<Option<BranchNodeCompact>, StoreError> {
        self.cached(
            |cache, version| cache.account_node(path, version),
            || {
                let bytes = self.get(Table::AccountNodes, path.to_vec())?;
                bytes.map(|bytes| codec::decode_node(&bytes)).transpose()
            },
            |cache, node, version| cache.offer_account_node(*path, node.clone(), version),
        )
    }

    /// A branch node of a storage trie.
    pub fn storage_node(
        &self,
        hashed: B256,
        path: &Nibbles,
    ) -> Result<Option<BranchNodeCompact>, StoreError> {
        self.cached(
            |cache, version| cache.storage_node(hashed, path, version),
            || {
                let bytes = self.get(Table::StorageNodes, joined(hashed, &path.to_vec()))?;
                bytes.map(|bytes| codec::decode_node(&bytes)).transpose()
            },
            |cache, node, version| cache.offer_storage_node(hashed, *path, node.clone(), version),
        )
    }

    /// Account leaves in order.
    pub fn accounts(&self) -> Result<AccountCursor<'_>, StoreError> {
        Ok(AccountCursor::new(Rows::new(self, Table::Accounts, &[])))
    }

    /// Slots of one account in order.
    pub fn slots(&self, hashed: B256) -> Result<SlotCursor<'_>, StoreError> {
        Ok(SlotCursor::new(Rows::new(self, Table::Storages, hashed.as_slice())))
    }

    /// Nodes of the account trie in order of their paths.
    pub fn account_nodes(&self) -> Result<AccountNodeCursor<'_>, StoreError> {
        Ok(AccountNodeCursor::new(Rows::new(self, Table::AccountNodes, &[])))
    }

    /// Nodes of one storage trie in order of their paths.
    pub fn storage_nodes(&self, hashed: B256) -> Result<StorageNodeCursor<'_>, StoreError> {
        Ok(StorageNodeCursor::new(Rows::new(self, Table::StorageNodes, hashed.as_slice())))
    }
}

/// The cache as this snapshot may use it.
impl Snapshot {
    fn cache(&self) -> Option<(&StateCache, u64)> {
        let cache = &self.0.cell.borrow_owner().cache;
        let version =
            self.0.version.get_or_init(|| self.head().ok().flatten().and_then(|at| cache.version(at)));
        version.map(|version| (cache, version))
    }

    fn cached<T>(
        &self,
        find: impl FnOnce(&StateCache, u64) -> Option<T>,
        read: impl FnOnce() -> Result<T, StoreError>,
        offer: impl FnOnce(&StateCache, &T, u64),
    ) -> Result<T, StoreError> {
        let Some((cache, version)) = self.cache() else { return read() };
        if let Some(found) = find(cache, version) {
            return Ok(found);
        }
        let value = read()?;
        offer(cache, &value, version);
        Ok(value)
    }

    pub(crate) fn cached_account_tail(&self, _: B256, path: &Nibbles) -> Option<Tail<AccountLeaf>> {
        self.cache().and_then(|(cache, version)| cache.account_tail(path, version))
    }

    pub(crate) fn offer_account_tail(&self, _: B256, path: &Nibbles, tail: &Tail<AccountLeaf>) {
        if let Some((cache, version)) = self.cache() {
            cache.offer_account_tail(*path, Arc::clone(tail), version);
        }
    }

    pub(crate) fn cached_slot_tail(&self, hashed: B256, path: &Nibbles) -> Option<Tail<U256>> {
        self.cache().and_then(|(cache, version)| cache.slot_tail(hashed, path, version))
    }

    pub(crate) fn offer_slot_tail(&self, hashed: B256, path: &Nibbles, tail: &Tail<U256>) {
        if let Some((cache, version)) = self.cache() {
            cache.offer_slot_tail(hashed, *path, Arc::clone(tail), version);
        }
    }
}

/// Reads of the past.
impl Snapshot {
    /// An account as it was after block `number`, which must not be above the head.
    pub fn account_at(&self, hashed: B256, number: u64) -> Result<Option<AccountLeaf>, StoreError> {
        match self.first_change(Table::AccountHistory, hashed.to_vec(), number)? {
            Some(bytes) if bytes.is_empty() => Ok(None),
            Some(bytes) => codec::decode_leaf(&bytes).map(Some),
            None => self.account(hashed),
        }
    }

    /// A slot as it was after block `number`, which must not be above the head.
    pub fn slot_at(&self, hashed: B256, slot: B256, number: u64) -> Result<U256, StoreError> {
        match self.first_change(Table::StorageHistory, joined(hashed, slot.as_slice()), number)? {
            Some(bytes) => codec::decode_value(&bytes),
            None => self.slot(hashed, slot),
        }
    }

    /// What the first block after `number` that changed `key` replaced.
    fn first_change(&self, table: Table, key: Vec<u8>, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(next) = number.checked_add(1) else { return Ok(None) };
        let mut rows = self.rows(table, false)?;
        let length = key.len();
        let mut from = key;
        from.extend_from_slice(&next.to_be_bytes());
        rows.seek(&from);
        let found = match (rows.key(), rows.value()) {
            (Some(key), Some(value)) if key[..length] == from[..length] => Some(value.to_vec()),
            _ => None,
        };
        rows.status()?;
        Ok(found)
    }

    /// The oldest block whose reverse diff is kept: states from the one before it on can be rebuilt.
    pub fn oldest_diff(&self) -> Result<u64, StoreError> {
        self.get(Table::Meta, OLDEST_DIFF_KEY)?.map_or(Ok(1), |bytes| be_u64(&bytes))
    }

    /// What block `number` replaced; `None` if it is pruned or was never there. `later` gives branch nodes as they are after the
    /// block: of the account trie, or of the storage trie of an account.
    pub fn reverse_diff(
        &self,
        number: u64,
        later: &mut codec::Later<'_>,
    ) -> Result<Option<StateDiff>, StoreError> {
        let key = number.to_be_bytes();
        match (self.get(Table::LeafDiffs, key)?, self.get(Table::NodeDiffs, key)?) {
            (Some(leaves), Some(nodes)) => codec::decode_diff(&leaves, &nodes, later).map(Some),
            (None, None) => Ok(None),
            _ => Err(StoreError::corrupt(format!("half of the diff of block {number} is missing"))),
        }
    }

    /// What the head replaced.
    pub fn last_reverse_diff(&self, head: u64) -> Result<Option<StateDiff>, StoreError> {
        self.reverse_diff(head, &mut |owner, path| self.node(owner, path))
    }

    /// A branch node: of the account trie, or of the storage trie of an account.
    pub fn node(&self, owner: Option<B256>, path: &Nibbles) -> Result<Option<BranchNodeCompact>, StoreError> {
        match owner {
            None => self.account_node(path),
            Some(hashed) => self.storage_node(hashed, path),
        }
    }
}

impl Snapshot {
    pub(crate) fn get(
        &self,
        table: Table,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<DBPinnableSlice<'_>>, StoreError> {
        let table = self.0.cell.borrow_owner().table(table)?;
        Ok(self.0.cell.borrow_dependent().get_pinned_cf(table, key)?)
    }

    /// An iterator over a table; without `total_order` it stays within the prefix it is sought to.
    pub(crate) fn rows(&self, table: Table, total_order: bool) -> Result<DBRawIterator<'_>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(total_order);
        options.set_prefix_same_as_start(!total_order);
        let table = self.0.cell.borrow_owner().table(table)?;
        Ok(self.0.cell.borrow_dependent().raw_iterator_cf_opt(table, options))
    }
}

pub(crate) fn joined(hashed: B256, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(32 + rest.len());
    key.extend_from_slice(hashed.as_slice());
    key.extend_from_slice(rest);
    key
}

pub(crate) fn be_u64(bytes: &[u8]) -> Result<u64, StoreError> {
    bytes
        .try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| StoreError::corrupt("number is not eight bytes long"))
}
