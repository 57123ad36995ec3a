//! The tables, and how RocksDB keeps each.

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DataBlockIndexType, Options, SliceTransform};

macro_rules! tables {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A column family.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Table { $($(#[$doc])* $variant,)* }

        impl Table {
            /// Every table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The column family's name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

tables! {
    /// Schema version, chain identity, head, labels.
    Meta = "meta",
    /// Number to hash and header.
    Headers = "headers",
    /// Number to senders and body.
    Bodies = "bodies",
    /// Number to receipts.
    Receipts = "receipts",
    /// Block hash to number.
    Numbers = "numbers",
    /// Transaction hash to number and index.
    Transactions = "transactions",
    /// Which blocks have logs of an address or topic.
    LogIndex = "log_index",
    /// Account leaves.
    Accounts = "accounts",
    /// Storage leaves.
    Storages = "storages",
    /// Branch nodes of the account trie.
    AccountNodes = "account_nodes",
    /// Branch nodes of storage tries.
    StorageNodes = "storage_nodes",
    /// Contract code.
    Codes = "codes",
    /// Account leaves as they were before a block changed them.
    AccountHistory = "account_history",
    /// Slots as they were before a block changed them.
    StorageHistory = "storage_history",
    /// Leaves that a block replaced.
    LeafDiffs = "leaf_diffs",
    /// Trie nodes that a block replaced.
    NodeDiffs = "node_diffs",
}

impl Table {
    /// Bytes of the key within which iteration stays, if it never crosses them.
    pub(crate) const fn prefix(self) -> Option<usize> {
        match self {
            Self::LogIndex => Some(8),
            Self::Storages | Self::StorageNodes | Self::AccountHistory => Some(32),
            Self::StorageHistory => Some(64),
            _ => None,
        }
    }

    const fn is_bulk(self) -> bool {
        matches!(
            self,
            Self::Headers | Self::Bodies | Self::Receipts | Self::LeafDiffs | Self::NodeDiffs | Self::Codes
        )
    }

    /// Read by exact keys on the way of every block.
    const fn is_looked_up(self) -> bool {
        matches!(self, Self::Accounts | Self::Storages | Self::AccountNodes | Self::StorageNodes)
    }

    pub(crate) fn options(self, cache: &Cache) -> Options {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(cache);
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        blocks.set_bloom_filter(10.0, false);
        blocks.set_format_version(5);
        let mut options = Options::default();
        if self.is_bulk() {
            blocks.set_block_size(16 * 1024);
            options.set_compression_type(DBCompressionType::Lz4);
        } else {
            blocks.set_block_size(4 * 1024);
            options.set_compression_type(DBCompressionType::None);
            options.set_bottommost_compression_type(DBCompressionType::Lz4);
        }
        if let Some(length) = self.prefix() {
            options.set_prefix_extractor(SliceTransform::create_fixed_prefix(length));
        }
        if self.is_looked_up() {
            // Most lookups are of keys that the memtable lacks.
            options.set_memtable_whole_key_filtering(true);
            options.set_memtable_prefix_bloom_ratio(0.05);
            blocks.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
        }
        options.set_block_based_table_factory(&blocks);
        options.set_level_compaction_dynamic_level_bytes(true);
        options.set_write_buffer_size(16 * 1024 * 1024);
        options
    }
}
