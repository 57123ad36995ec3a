//! How many blocks a height was given.

use std::num::NonZeroUsize;

use alloy_primitives::B256;
use lru::LruCache;

/// Heights that are remembered.
const HEIGHTS: NonZeroUsize = NonZeroUsize::new(1_000).expect("not zero");
/// Distinct blocks of a height that are passed on.
const DISTINCT: usize = 6;

/// What became of a block at its height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    New,
    Again,
    TooMany,
}

/// Hashes of the blocks that came by gossip, by height.
#[derive(Debug)]
pub(crate) struct SeenBlocks(LruCache<u64, Vec<B256>>);

impl Default for SeenBlocks {
    fn default() -> Self {
        Self(LruCache::new(HEIGHTS))
    }
}

impl SeenBlocks {
    pub(crate) fn see(&mut self, number: u64, hash: B256) -> Seen {
        let hashes = self.0.get_or_insert_mut(number, Vec::new);
        if hashes.len() >= DISTINCT {
            Seen::TooMany
        } else if hashes.contains(&hash) {
            Seen::Again
        } else {
            hashes.push(hash);
            Seen::New
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seventh_block_of_a_height_is_one_too_many() {
        let mut seen = SeenBlocks::default();
        for byte in 0..DISTINCT as u8 {
            assert_eq!(seen.see(5, B256::repeat_byte(byte)), Seen::New);
            if byte < DISTINCT as u8 - 1 {
                assert_eq!(seen.see(5, B256::repeat_byte(byte)), Seen::Again);
            }
        }
        assert_eq!(seen.see(5, B256::repeat_byte(0x77)), Seen::TooMany);
        assert_eq!(seen.see(6, B256::repeat_byte(0x77)), Seen::New);
    }
}
