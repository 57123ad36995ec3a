//! How large the database is.

use crate::{BlockNumHash, Label, Store, StoreError, Table};

/// Sizes of all tables, and where the chain stands.
#[derive(Debug, Clone)]
pub struct StoreStats {
    /// The last block written.
    pub head: Option<BlockNumHash>,
    /// The persisted safe label.
    pub safe: Option<BlockNumHash>,
    /// The persisted finalized label.
    pub finalized: Option<BlockNumHash>,
    /// The oldest block whose reverse diff is kept.
    pub oldest_diff: u64,
    /// One entry a table.
    pub tables: Vec<TableStats>,
}

/// Size of one table.
#[derive(Debug, Clone)]
pub struct TableStats {
    /// The table.
    pub table: Table,
    /// Rows, as RocksDB estimates them.
    pub rows: u64,
    /// Bytes of files on the disk.
    pub file_bytes: u64,
    /// Bytes in memory that are in the log only.
    pub memory_bytes: u64,
}

impl Store {
    /// Sizes of all tables.
    pub fn stats(&self) -> Result<StoreStats, StoreError> {
        let snapshot = self.snapshot();
        let tables = Table::ALL.iter().map(|table| self.table_stats(*table)).collect::<Result<_, _>>()?;
        Ok(StoreStats {
            head: snapshot.head()?,
            safe: snapshot.label(Label::Safe)?,
            finalized: snapshot.label(Label::Finalized)?,
            oldest_diff: snapshot.oldest_diff()?,
            tables,
        })
    }

    fn table_stats(&self, table: Table) -> Result<TableStats, StoreError> {
        let family = self.inner().table(table)?;
        let property = |name: &str| -> Result<u64, StoreError> {
            Ok(self.inner().db.property_int_value_cf(family, name)?.unwrap_or_default())
        };
        Ok(TableStats {
            table,
            rows: property("rocksdb.estimate-num-keys")?,
            file_bytes: property("rocksdb.total-sst-files-size")?,
            memory_bytes: property("rocksdb.cur-size-all-mem-tables")?,
        })
    }
}
