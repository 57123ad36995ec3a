//! From the layouts of earlier builds to this one's.

use crate::{
    BlockNumHash, Choice, SCHEMA_VERSION, Store, StoreError, Table, codec,
    snapshot::{AHEAD_PREFIX, CHOICE_KEY, ahead_key},
    store::SCHEMA_KEY,
};
use alloy_primitives::B256;
use rocksdb::WriteBatch;

/// Schema 2 had its log of acknowledged blocks by number, and only the labels beside it.
const LABELS_AHEAD_KEY: &[u8] = b"labels_ahead";

/// Makes a database of an earlier schema one of this schema, in one write.
pub(crate) fn upgrade(store: &Store, found: u32) -> Result<(), StoreError> {
    let meta = store.inner().table(Table::Meta)?;
    let mut batch = WriteBatch::default();
    if found == 2 {
        log_by_hash(store, &mut batch)?;
    }
    // What is written from now on an earlier build would not understand.
    batch.put_cf(meta, SCHEMA_KEY, SCHEMA_VERSION.to_be_bytes());
    store.write(batch, true)
}

/// The logged blocks that stand on the head, one on the other, are what was acknowledged; the last of them is the head.
fn log_by_hash(store: &Store, batch: &mut WriteBatch) -> Result<(), StoreError> {
    let (db, meta) = (&store.inner().db, store.inner().table(Table::Meta)?);
    let Some(mut head) = store.snapshot().head()? else { return Ok(()) };
    let Some(labels) = db.get_cf(meta, LABELS_AHEAD_KEY)? else { return Ok(()) };
    if db.get_cf(meta, CHOICE_KEY)?.is_some() {
        // Some build of schema 2 wrote choices already: what it chose came after these labels.
        batch.delete_cf(meta, LABELS_AHEAD_KEY);
        return Ok(());
    }
    if labels.len() != 64 {
        return Err(StoreError::corrupt("labels kept ahead are malformed"));
    }
    let by_number = |number: u64| [AHEAD_PREFIX, &number.to_be_bytes()].concat();
    while let Some(bytes) = db.get_cf(meta, by_number(head.number + 1))? {
        batch.delete_cf(meta, by_number(head.number + 1));
        let block = codec::decode_whole(&bytes)?;
        if block.parent_hash() != head.hash {
            break;
        }
        head = BlockNumHash::new(block.number(), block.hash());
        batch.put_cf(meta, ahead_key(head), &bytes);
    }
    let (safe, finalized) = (B256::from_slice(&labels[..32]), B256::from_slice(&labels[32..]));
    batch.put_cf(meta, CHOICE_KEY, Choice { head, safe, finalized }.encode());
    batch.delete_cf(meta, LABELS_AHEAD_KEY);
    Ok(())
}
