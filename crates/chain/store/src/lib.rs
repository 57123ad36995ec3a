#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod batch;
mod codec;
mod cursor;
mod diff;
mod error;
mod log_index;
mod snapshot;
mod state_cache;
mod stats;
mod store;
mod table;
mod upgrade;
mod verify;

pub use alloy_eips::BlockNumHash;
pub use batch::Batch;
pub use cursor::{AccountCursor, AccountNodeCursor, SlotCursor, StorageNodeCursor};
pub use diff::{AccountLeaf, StateDiff, StorageDiff};
pub use error::{Severity, StoreError};
pub use log_index::LogQuery;
pub use snapshot::{Choice, Label, Snapshot, TransactionLocation};
pub use stats::{StoreStats, TableStats};
pub use store::{Identity, SCHEMA_VERSION, Store, StoreOptions};
pub use table::Table;
pub use verify::{IndexReport, verify_index};
