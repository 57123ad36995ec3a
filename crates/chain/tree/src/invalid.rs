//! Blocks known to be invalid.

use alloy_primitives::B256;
use schnellru::{ByLength, LruMap};

/// Invalid blocks that are remembered.
const REMEMBERED: u32 = 1_024;

/// Why a block is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// The last valid block on its branch.
    pub(crate) latest_valid: B256,
    pub(crate) reason: String,
}

/// Remembers invalid blocks, the most recently asked for.
pub(crate) struct InvalidBlocks(LruMap<B256, Invalid>);

impl Default for InvalidBlocks {
    fn default() -> Self {
        Self(LruMap::new(ByLength::new(REMEMBERED)))
    }
}

impl InvalidBlocks {
    pub(crate) fn get(&mut self, hash: B256) -> Option<Invalid> {
        self.0.get(&hash).cloned()
    }

    pub(crate) fn insert(&mut self, hash: B256, invalid: Invalid) {
        self.0.insert(hash, invalid);
    }
}
