//! Trie nodes that were answered lately, by their hashes.

use alloy_primitives::{B256, Bytes, keccak256};
use parking_lot::Mutex;
use schnellru::{ByLength, LruMap};

/// A node has 532 bytes at most (a branch of sixteen hashes), so this is about 35 MB.
const NODES: u32 = 1 << 16;

/// Nodes that whoever works on a witness may ask for one by one.
pub(crate) struct RecentNodes(Mutex<LruMap<B256, Bytes>>);

impl Default for RecentNodes {
    fn default() -> Self {
        Self(Mutex::new(LruMap::new(ByLength::new(NODES))))
    }
}

impl std::fmt::Debug for RecentNodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecentNodes")
    }
}

impl RecentNodes {
    /// Keeps nodes in place of the oldest.
    pub(crate) fn remember<'a>(&self, nodes: impl IntoIterator<Item = &'a Bytes>) {
        let hashed: Vec<_> = nodes.into_iter().map(|node| (keccak256(node), node.clone())).collect();
        let mut kept = self.0.lock();
        for (hash, node) in hashed {
            kept.insert(hash, node);
        }
    }

    /// A node that is still kept.
    pub(crate) fn get(&self, hash: B256) -> Option<Bytes> {
        self.0.lock().get(&hash).cloned()
    }
}
