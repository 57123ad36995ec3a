//! Writes that become visible together or not at all.

use crate::{
    BlockNumHash, Label, StateDiff, Store, StoreError, Table, codec, log_index,
    snapshot::{ACTIVATIONS_KEY, CHOICE_KEY, Choice, HEAD_KEY, OLDEST_DIFF_KEY, ahead_key, joined},
};
use alloy_primitives::{B256, Bytes};
use rocksdb::WriteBatch;
use tributary_spec::{Receipt, RecoveredBlock};

/// Collects the writes of one block.
pub struct Batch {
    store: Store,
    writes: WriteBatch,
    /// For the cache.
    diffs: Vec<StateDiff>,
    head: Option<BlockNumHash>,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("writes", &self.writes.len()).finish()
    }
}

impl Batch {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, writes: WriteBatch::default(), diffs: Vec::new(), head: None }
    }

    fn put(
        &mut self,
        table: Table,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<(), StoreError> {
        self.writes.put_cf(self.store.inner().table(table)?, key, value);
        Ok(())
    }

    fn delete(&mut self, table: Table, key: impl AsRef<[u8]>) -> Result<(), StoreError> {
        self.writes.delete_cf(self.store.inner().table(table)?, key);
        Ok(())
    }

    /// Writes a block, its receipts, and what finds them.
    pub fn put_block(&mut self, block: &RecoveredBlock, receipts: &[Receipt]) -> Result<(), StoreError> {
        let number = block.number().to_be_bytes();
        self.put(Table::Headers, number, codec::encode_header(block.header()))?;
        self.put(Table::Bodies, number, codec::encode_body(block))?;
        self.put(Table::Receipts, number, codec::encode_receipts(receipts))?;
        self.put(Table::Numbers, block.hash(), number)?;
        let mut places: Vec<_> =
            (0u32..).zip(block.transactions()).map(|(index, tx)| (tx.tx_hash(), index)).collect();
        places.sort_unstable();
        for (hash, index) in places {
            let location = [number.as_slice(), &index.to_be_bytes()].concat();
            self.put(Table::Transactions, hash, location)?;
        }
        for key in log_index::keys(block.number(), receipts) {
            self.put(Table::LogIndex, key, [])?;
        }
        Ok(())
    }

    /// Removes what [`put_block`](Self::put_block) wrote.
    pub fn remove_block(&mut self, block: &RecoveredBlock, receipts: &[Receipt]) -> Result<(), StoreError> {
        let number = block.number().to_be_bytes();
        for table in [Table::Headers, Table::Bodies, Table::Receipts] {
            self.delete(table, number)?;
        }
        self.delete(Table::Numbers, block.hash())?;
        for tx in block.transactions() {
            self.delete(Table::Transactions, tx.tx_hash())?;
        }
        for key in log_index::keys(block.number(), receipts) {
            self.delete(Table::LogIndex, key)?;
        }
        Ok(())
    }

    /// Writes code by its hash.
    pub fn put_code(&mut self, hash: B256, code: &Bytes) -> Result<(), StoreError> {
        self.put(Table::Codes, hash, code)
    }

    /// Writes leaves and nodes.
    pub fn apply(&mut self, diff: &StateDiff) -> Result<(), StoreError> {
        self.diffs.push(diff.clone());
        let mut scratch = Vec::new();
        for (hashed, leaf) in &diff.accounts {
            match leaf {
                Some(leaf) => {
                    scratch.clear();
                    codec::encode_leaf(leaf, &mut scratch);
                    self.put(Table::Accounts, hashed, &scratch)?;
                }
                None => self.delete(Table::Accounts, hashed)?,
            }
        }
        for (path, node) in &diff.account_nodes {
            match node {
                Some(node) => {
                    scratch.clear();
                    codec::encode_node(node, &mut scratch);
                    self.put(Table::AccountNodes, path.to_vec(), &scratch)?;
                }
                None => self.delete(Table::AccountNodes, path.to_vec())?,
            }
        }
        for (hashed, storage) in &diff.storages {
            debug_assert!(!storage.wiped, "a diff that is written spells out removals");
            for (slot, value) in &storage.slots {
                let key = joined(*hashed, slot.as_slice());
                if value.is_zero() {
                    self.delete(Table::Storages, key)?;
                } else {
                    self.put(Table::Storages, key, codec::encode_value(*value))?;
                }
            }
            for (path, node) in &storage.nodes {
                let key = joined(*hashed, &path.to_vec());
                match node {
                    Some(node) => {
                        scratch.clear();
                        codec::encode_node(node, &mut scratch);
                        self.put(Table::StorageNodes, key, &scratch)?;
                    }
                    None => self.delete(Table::StorageNodes, key)?,
                }
            }
        }
        Ok(())
    }

    /// Keeps what `forward`, which block `number` wrote, replaced: by key for reads of the past, and together for going back.
    pub fn put_reverse(
        &mut self,
        number: u64,
        forward: &StateDiff,
        reverse: &StateDiff,
    ) -> Result<(), StoreError> {
        let key = number.to_be_bytes();
        self.put(Table::LeafDiffs, key, codec::encode_leaf_diff(reverse))?;
        self.put(Table::NodeDiffs, key, codec::encode_node_diff(reverse, forward))?;
        let mut scratch = Vec::new();
        for (hashed, leaf) in &reverse.accounts {
            scratch.clear();
            if let Some(leaf) = leaf {
                codec::encode_leaf(leaf, &mut scratch);
            }
            self.put(Table::AccountHistory, joined(*hashed, &key), &scratch)?;
        }
        for (hashed, storage) in &reverse.storages {
            for (slot, value) in &storage.slots {
                self.put(
                    Table::StorageHistory,
                    history_key(hashed, slot, number),
                    codec::encode_value(*value),
                )?;
            }
        }
        Ok(())
    }

    /// Removes what [`put_reverse`](Self::put_reverse) wrote.
    pub fn remove_reverse(&mut self, number: u64, reverse: &StateDiff) -> Result<(), StoreError> {
        let key = number.to_be_bytes();
        self.delete(Table::LeafDiffs, key)?;
        self.delete(Table::NodeDiffs, key)?;
        for (hashed, _) in &reverse.accounts {
            self.delete(Table::AccountHistory, joined(*hashed, &key))?;
        }
        for (hashed, storage) in &reverse.storages {
            for (slot, _) in &storage.slots {
                self.delete(Table::StorageHistory, history_key(hashed, slot, number))?;
            }
        }
        Ok(())
    }

    /// Forgets the reverse diffs of blocks `from..to`; reads of the past by key are not affected.
    pub fn prune_diffs(&mut self, from: u64, to: u64) -> Result<(), StoreError> {
        let (from, to) = (from.to_be_bytes(), to.to_be_bytes());
        for table in [Table::LeafDiffs, Table::NodeDiffs] {
            self.writes.delete_range_cf(self.store.inner().table(table)?, from, to);
        }
        self.put(Table::Meta, OLDEST_DIFF_KEY, to)
    }

    /// Keeps a block that is acknowledged before what it did is written.
    pub fn put_ahead(&mut self, block: &RecoveredBlock) -> Result<(), StoreError> {
        let key = ahead_key(BlockNumHash::new(block.number(), block.hash()));
        self.put(Table::Meta, key, codec::encode_whole(block))
    }

    /// Forgets it: it is written now, or no longer canonical.
    pub fn remove_ahead(&mut self, block: BlockNumHash) -> Result<(), StoreError> {
        self.delete(Table::Meta, ahead_key(block))
    }

    /// Keeps the chain's activations.
    pub fn put_activations(&mut self, text: &str) -> Result<(), StoreError> {
        self.put(Table::Meta, ACTIVATIONS_KEY, text)
    }

    /// Keeps the fork choice that is acknowledged.
    pub fn put_choice(&mut self, choice: &Choice) -> Result<(), StoreError> {
        self.put(Table::Meta, CHOICE_KEY, choice.encode())
    }

    /// Forgets all that was kept ahead of what is written.
    pub fn clear_ahead(&mut self) -> Result<(), StoreError> {
        let meta = self.store.inner().table(Table::Meta)?;
        let end = BlockNumHash::new(u64::MAX, B256::repeat_byte(0xff));
        self.writes.delete_range_cf(meta, ahead_key(BlockNumHash::default()), ahead_key(end));
        self.delete(Table::Meta, CHOICE_KEY)
    }

    /// Sets the head.
    pub fn set_head(&mut self, head: BlockNumHash) -> Result<(), StoreError> {
        self.head = Some(head);
        self.put(Table::Meta, HEAD_KEY, block_ref(head))
    }

    /// Sets or clears a label.
    pub fn set_label(&mut self, label: Label, block: Option<BlockNumHash>) -> Result<(), StoreError> {
        match block {
            Some(block) => self.put(Table::Meta, label.key(), block_ref(block)),
            None => self.delete(Table::Meta, label.key()),
        }
    }

    /// Bytes collected so far.
    pub fn size(&self) -> usize {
        self.writes.size_in_bytes()
    }

    /// Writes everything at once. A process that is killed afterwards loses nothing; with `sync` a machine that
    /// loses power does not either.
    pub fn commit(self, sync: bool) -> Result<(), StoreError> {
        if !self.diffs.is_empty() || self.head.is_some() {
            self.store.inner().cache.advance(&self.diffs, self.head);
        }
        self.store.write(self.writes, sync)
    }
}

fn history_key(hashed: &B256, slot: &B256, number: u64) -> Vec<u8> {
    [hashed.as_slice(), slot.as_slice(), &number.to_be_bytes()].concat()
}

fn block_ref(block: BlockNumHash) -> Vec<u8> {
    [block.number.to_be_bytes().as_slice(), block.hash.as_slice()].concat()
}
