//! Opening the database: whose it is, which schema it has, and who else holds it.

use crate::{Batch, Snapshot, StoreError, Table, snapshot, state_cache::StateCache, upgrade};
use alloy_primitives::B256;
use rocksdb::{
    Cache, ColumnFamily, ColumnFamilyDescriptor, DB, Options, ReadOptions, WriteBatch, WriteOptions,
};
use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The layout of tables and values that this build writes. It reads every earlier one:
/// 1 had no log of what is acknowledged, and kept the nodes that a block replaced whole; 2 logged blocks by number, not fork choices.
pub const SCHEMA_VERSION: u32 = 3;

pub(crate) const SCHEMA_KEY: &[u8] = b"schema";
const IDENTITY_KEY: &[u8] = b"identity";

/// The chain that a database belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of block 0.
    pub genesis_hash: B256,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chain {} (genesis {})", self.chain_id, self.genesis_hash)
    }
}

/// How much memory and how many files RocksDB may use.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Bytes of block cache, shared by all tables.
    pub cache_bytes: usize,
    /// Bytes of memtables before they are flushed, over all tables.
    pub write_buffer_bytes: usize,
    /// Files RocksDB may keep open.
    pub max_open_files: i32,
    /// Accounts, and as many slots, that are kept in memory above RocksDB, and about as many nodes of the tries.
    pub cached_leaves: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 256 << 20,
            write_buffer_bytes: 128 << 20,
            max_open_files: 512,
            cached_leaves: 1 << 19,
        }
    }
}

/// A handle of the open database. Clones share it; the last one to go closes it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) db: DB,
    pub(crate) cache: StateCache,
    path: PathBuf,
}

impl Inner {
    pub(crate) fn table(&self, table: Table) -> Result<&ColumnFamily, StoreError> {
        self.db
            .cf_handle(table.name())
            .ok_or_else(|| StoreError::corrupt(format!("table {} is missing", table.name())))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.0.path).finish()
    }
}

impl Store {
    /// Opens the database in a folder, or makes a new one there for `identity`.
    pub fn open(path: &Path, identity: &Identity, options: &StoreOptions) -> Result<Self, StoreError> {
        check_folder(path)?;
        let existing = existing_tables(path)?;
        let unknown: Vec<&String> =
            existing.iter().filter(|name| !is_known(name)).filter(|name| *name != "default").collect();
        if !unknown.is_empty() {
            return Err(foreign_tables(path, &existing, &unknown));
        }
        let cache = Cache::new_hyper_clock_cache(options.cache_bytes, 0);
        let tables = Table::ALL
            .iter()
            .map(|table| ColumnFamilyDescriptor::new(table.name(), table.options(&cache)))
            .chain([ColumnFamilyDescriptor::new("default", Options::default())]);
        let db = DB::open_cf_descriptors(&db_options(options), path, tables)
            .map_err(|error| open_error(path, error))?;
        let cache_of_state = StateCache::new(options.cached_leaves);
        let store = Self(Arc::new(Inner { db, cache: cache_of_state, path: path.to_owned() }));
        store.check_identity(identity)?;
        if let Ok(Some(head)) = store.snapshot().head() {
            store.0.cache.opened(head);
        }
        Ok(store)
    }

    fn check_identity(&self, identity: &Identity) -> Result<(), StoreError> {
        let meta = self.0.table(Table::Meta)?;
        let schema = match self.0.db.get_cf(meta, SCHEMA_KEY)? {
            None => return self.write_identity(identity),
            Some(bytes) => check_schema(&bytes)?,
        };
        let bytes = self.0.db.get_cf(meta, IDENTITY_KEY)?;
        let found = bytes
            .as_deref()
            .and_then(decode_identity)
            .ok_or_else(|| StoreError::corrupt("identity of the chain is missing or malformed"))?;
        if found != *identity {
            return Err(StoreError::OtherChain { path: self.0.path.clone(), found, expected: *identity });
        }
        if schema < SCHEMA_VERSION { upgrade::upgrade(self, schema) } else { Ok(()) }
    }

    fn write_identity(&self, identity: &Identity) -> Result<(), StoreError> {
        let meta = self.0.table(Table::Meta)?;
        let mut batch = WriteBatch::default();
        batch.put_cf(meta, SCHEMA_KEY, SCHEMA_VERSION.to_be_bytes());
        batch.put_cf(meta, IDENTITY_KEY, encode_identity(identity));
        self.write(batch, true)
    }

    /// The identity written in a database, without opening it for writing. `None` if there is no database.
    pub fn identity(path: &Path) -> Result<Option<Identity>, StoreError> {
        let existing = existing_tables(path)?;
        if existing.is_empty() {
            return Ok(None);
        }
        let db = DB::open_cf_for_read_only(&Options::default(), path, &existing, false)
            .map_err(|error| open_error(path, error))?;
        let Some(meta) = db.cf_handle(Table::Meta.name()) else { return Ok(None) };
        Ok(db.get_cf(meta, IDENTITY_KEY)?.as_deref().and_then(decode_identity))
    }

    /// Where the database is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// A view of the database as it is now, which later writes do not change.
    pub fn snapshot(&self) -> Snapshot {
        snapshot::take(self.0.clone())
    }

    /// Collects writes to make at once.
    pub fn batch(&self) -> Batch {
        Batch::new(self.clone())
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    pub(crate) fn write(&self, batch: WriteBatch, sync: bool) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        Ok(self.0.db.write_opt(batch, &options)?)
    }

    /// Forces everything written so far to the disk.
    pub fn sync(&self) -> Result<(), StoreError> {
        Ok(self.0.db.flush_wal(true)?)
    }

    /// Compacts every table: useful before measuring or copying.
    pub fn compact(&self) -> Result<(), StoreError> {
        for table in Table::ALL {
            self.0.db.compact_range_cf(self.0.table(*table)?, None::<&[u8]>, None::<&[u8]>);
        }
        Ok(())
    }

    /// Calls `each` with every key and value of a table, in the order of the keys.
    pub fn dump(&self, table: Table, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        let mut rows = self.0.db.raw_iterator_cf_opt(self.0.table(table)?, options);
        rows.seek_to_first();
        while let (Some(key), Some(value)) = (rows.key(), rows.value()) {
            each(key, value);
            rows.next();
        }
        Ok(rows.status()?)
    }
}

fn db_options(options: &StoreOptions) -> Options {
    let mut db = Options::default();
    db.create_if_missing(true);
    db.create_missing_column_families(true);
    db.set_max_open_files(options.max_open_files);
    db.set_db_write_buffer_size(options.write_buffer_bytes);
    db.set_max_background_jobs(4);
    // There is one writer, and most rows of its batches are in order: each goes in beside the one before.
    db.set_allow_concurrent_memtable_write(false);
    db.set_bytes_per_sync(1 << 20);
    db.set_wal_bytes_per_sync(1 << 20);
    db.set_max_total_wal_size(512 << 20);
    db.set_keep_log_file_num(4);
    db.set_max_log_file_size(4 << 20);
    db
}

/// A folder with other things in it is not turned into a database.
fn check_folder(path: &Path) -> Result<(), StoreError> {
    let refuse = |reason: String| Err(StoreError::NotADatabase { path: path.to_owned(), reason });
    if path.is_file() {
        return refuse("it is a file".into());
    }
    let Ok(mut entries) = path.read_dir() else {
        return std::fs::create_dir_all(path)
            .map_err(|error| StoreError::Io(format!("{}: {error}", path.display())));
    };
    if entries.next().is_some() && !path.join("CURRENT").exists() && !path.join("LOCK").exists() {
        return refuse("it holds other files".into());
    }
    Ok(())
}

fn existing_tables(path: &Path) -> Result<BTreeSet<String>, StoreError> {
    if !path.join("CURRENT").exists() {
        return Ok(BTreeSet::new());
    }
    let names = DB::list_cf(&Options::default(), path).map_err(|error| open_error(path, error))?;
    Ok(names.into_iter().collect())
}

fn is_known(name: &str) -> bool {
    Table::ALL.iter().any(|table| table.name() == name)
}

/// Tables this build does not know: a newer schema if the database says so, else not ours.
fn foreign_tables(path: &Path, existing: &BTreeSet<String>, unknown: &[&String]) -> StoreError {
    let schema = DB::open_cf_for_read_only(&Options::default(), path, existing, false)
        .ok()
        .and_then(|db| db.get_cf(db.cf_handle(Table::Meta.name())?, SCHEMA_KEY).ok().flatten());
    match schema.map(|bytes| check_schema(&bytes)) {
        Some(Err(error)) => error,
        _ => {
            StoreError::NotADatabase { path: path.to_owned(), reason: format!("unknown tables {unknown:?}") }
        }
    }
}

fn check_schema(bytes: &[u8]) -> Result<u32, StoreError> {
    let bytes: [u8; 4] =
        bytes.try_into().map_err(|_| StoreError::corrupt("schema version is not four bytes long"))?;
    match u32::from_be_bytes(bytes) {
        found @ 1..=SCHEMA_VERSION => Ok(found),
        found if found > SCHEMA_VERSION => Err(StoreError::NewerSchema { found, supported: SCHEMA_VERSION }),
        found => Err(StoreError::corrupt(format!("schema version {found} never existed"))),
    }
}

fn encode_identity(identity: &Identity) -> Vec<u8> {
    [identity.chain_id.to_be_bytes().as_slice(), identity.genesis_hash.as_slice()].concat()
}

fn decode_identity(bytes: &[u8]) -> Option<Identity> {
    let (chain_id, genesis_hash) = bytes.split_first_chunk::<8>()?;
    let genesis_hash = <[u8; 32]>::try_from(genesis_hash).ok()?;
    Some(Identity { chain_id: u64::from_be_bytes(*chain_id), genesis_hash: genesis_hash.into() })
}

fn open_error(path: &Path, error: rocksdb::Error) -> StoreError {
    let text = error.to_string();
    if text.contains("lock hold by current process") || text.contains("While lock file") {
        return StoreError::Locked(path.to_owned());
    }
    error.into()
}
