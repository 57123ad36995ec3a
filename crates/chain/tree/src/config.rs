//! How the chain is kept.

use tributary_store::StoreOptions;

/// When a fork choice is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// At once; the writer follows behind.
    #[default]
    Behind,
    /// When it is logged, to be carried out again: a process that is killed afterwards loses nothing. Nobody sees the new
    /// head before.
    Acknowledged,
}

/// Settings of a [`Chain`](crate::Chain).
#[derive(Debug, Clone)]
pub struct ChainConfig {
    /// When a fork choice is acknowledged.
    pub durability: Durability,
    /// Force what is acknowledged to the disk, so that a machine that loses power loses nothing either.
    pub sync: bool,
    /// Blocks beneath the head that the writer leaves in memory, where a short reorg costs nothing.
    pub lag: u64,
    /// Canonical blocks that may wait for the writer; then the fork choice waits too.
    pub max_unwritten: u64,
    /// Written blocks kept in memory for readers.
    pub cached: u64,
    /// Blocks off the canonical chain kept in memory.
    pub max_side: usize,
    /// Blocks whose reverse diffs are kept beneath the head: how far back states can be proved, and how deep a reorg
    /// may be while nothing is finalized.
    pub diff_window: u64,
    /// Events that a slow subscriber may fall behind.
    pub event_buffer: usize,
    /// RocksDB's memory and files.
    pub store: StoreOptions,
}

impl Default for ChainConfig {
    fn default() -> Self {
        Self {
            durability: Durability::Behind,
            sync: false,
            lag: 0,
            max_unwritten: 64,
            cached: 64,
            max_side: 512,
            diff_window: 16_384,
            event_buffer: 1_024,
            store: StoreOptions::default(),
        }
    }
}
