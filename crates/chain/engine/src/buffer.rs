//! Payloads that came before their parents.

use std::collections::BTreeSet;

use alloy_primitives::{B256, map::B256Map};
use tributary_spec::RecoveredBlock;

/// Blocks that wait at most.
const MAX_BLOCKS: usize = 2_048;
/// Bytes of transactions that wait at most.
const MAX_BYTES: usize = 256 << 20;

#[derive(Debug)]
struct Waiting {
    block: RecoveredBlock,
    bytes: usize,
}

/// Blocks without a parent, by hash and by parent.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    blocks: B256Map<Waiting>,
    children: B256Map<Vec<B256>>,
    by_number: BTreeSet<(u64, B256)>,
    bytes: usize,
}

impl Buffer {
    /// Keeps a block of so many bytes. Over the limits, what lies farthest ahead goes: it is of use last.
    pub(crate) fn insert(&mut self, block: RecoveredBlock, bytes: usize) {
        let hash = block.hash();
        if self.blocks.contains_key(&hash) {
            return;
        }
        self.children.entry(block.parent_hash()).or_default().push(hash);
        self.by_number.insert((block.number(), hash));
        self.bytes += bytes;
        self.blocks.insert(hash, Waiting { block, bytes });
        while self.blocks.len() > MAX_BLOCKS || self.bytes > MAX_BYTES {
            let Some((_, farthest)) = self.by_number.last().copied() else { break };
            self.remove(farthest);
        }
    }

    pub(crate) fn get(&self, hash: B256) -> Option<RecoveredBlock> {
        self.blocks.get(&hash).map(|waiting| waiting.block.clone())
    }

    pub(crate) fn contains(&self, hash: B256) -> bool {
        self.blocks.contains_key(&hash)
    }

    /// Blocks that wait for this one.
    pub(crate) fn children(&self, parent: B256) -> Vec<B256> {
        self.children.get(&parent).cloned().unwrap_or_default()
    }

    /// The missing block at the bottom of a waiting one's ancestry.
    pub(crate) fn missing_ancestor(&self, hash: B256) -> Option<B256> {
        let mut at = self.blocks.get(&hash)?;
        loop {
            let parent = at.block.parent_hash();
            match self.blocks.get(&parent) {
                Some(waiting) => at = waiting,
                None => return Some(parent),
            }
        }
    }

    pub(crate) fn remove(&mut self, hash: B256) {
        let Some(Waiting { block, bytes }) = self.blocks.remove(&hash) else { return };
        self.bytes -= bytes;
        self.by_number.remove(&(block.number(), hash));
        let parent = block.parent_hash();
        if let Some(siblings) = self.children.get_mut(&parent) {
            siblings.retain(|sibling| *sibling != hash);
            if siblings.is_empty() {
                self.children.remove(&parent);
            }
        }
    }

    /// Forgets blocks that can no longer become canonical.
    pub(crate) fn prune(&mut self, finalized: u64) {
        while let Some((number, hash)) = self.by_number.first().copied() {
            if number > finalized {
                break;
            }
            self.remove(hash);
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.blocks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Sealable;
    use tributary_spec::{BlockBody, Header};

    fn block(number: u64, parent_hash: B256) -> RecoveredBlock {
        let header = Header { number, parent_hash, ..Header::default() };
        RecoveredBlock::new_unchecked(header.seal_slow(), BlockBody::default(), Vec::new())
    }

    #[test]
    fn the_missing_ancestor_is_found_through_those_that_wait() {
        let mut buffer = Buffer::default();
        let gone = B256::repeat_byte(7);
        let first = block(5, gone);
        let second = block(6, first.hash());
        buffer.insert(second.clone(), 10);
        assert_eq!(buffer.missing_ancestor(second.hash()), Some(first.hash()));
        buffer.insert(first.clone(), 10);
        buffer.insert(first.clone(), 10);
        assert_eq!(buffer.missing_ancestor(second.hash()), Some(gone));
        assert_eq!(buffer.children(gone), [first.hash()]);
        assert_eq!(buffer.bytes, 20);
        buffer.prune(5);
        assert!(!buffer.contains(first.hash()) && buffer.contains(second.hash()));
        assert!(buffer.children(gone).is_empty());
    }

    #[test]
    fn what_lies_farthest_ahead_makes_room() {
        let mut buffer = Buffer::default();
        let parent = B256::repeat_byte(1);
        for number in 0..MAX_BLOCKS as u64 + 5 {
            buffer.insert(block(number, parent), 1);
        }
        assert_eq!(buffer.len(), MAX_BLOCKS);
        assert!(buffer.contains(block(0, parent).hash()));
        assert!(!buffer.contains(block(MAX_BLOCKS as u64, parent).hash()));
        buffer.insert(block(1, B256::ZERO), MAX_BYTES);
        assert!(buffer.len() < 4 && buffer.contains(block(0, parent).hash()));
    }
}
