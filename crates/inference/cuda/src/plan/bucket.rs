//! Sizes of a step, rounded up so that few launch programs serve every step.

use super::work::Work;

/// Words of the metadata's header.
pub const HEADER_WORDS: u32 = 8;

/// Upper bounds of a step's counts: powers of two, or zero. A launch program depends on these and nothing else of the step;
/// the exact counts are in the metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// Tokens.
    pub tokens: u32,
    /// Positions whose logits are wanted.
    pub wanted: u32,
    /// Of those, positions whose tokens are chosen here.
    pub choices: u32,
    /// Rows of the step; each has a mark for failing.
    pub rows: u32,
    /// Groups of tokens with an adapter.
    pub groups: u32,
    /// Places of the longest composition.
    pub places: u32,
    /// Tiles of sixteen ranks of the largest adapter.
    pub rank_tiles: u32,
    /// Tokens attended with split positions.
    pub splits: u32,
    /// Segments of 64 positions that the longest of those sees.
    pub segments: u32,
    /// Tasks of tiled attention.
    pub tiles: u32,
    /// Entries of all page tables.
    pub pages: u32,
    /// As many as tokens if one of them has a DoRA adapter, else none.
    pub scaled: u32,
}

const fn up(count: usize) -> u32 {
    if count == 0 { 0 } else { count.next_power_of_two() as u32 }
}

impl Bucket {
    /// The smallest that holds a step.
    pub fn of(work: &Work) -> Self {
        let tokens = up(work.tokens.len());
        Self {
            tokens,
            wanted: up(work.wanted.len()),
            choices: up(work.choices.len()),
            rows: up(work.rows),
            groups: up(work.groups.len()),
            places: work.places.len().saturating_sub(1) as u32,
            rank_tiles: up(work.rank.div_ceil(16)),
            splits: up(work.splits.len()),
            segments: up(work.split_segments),
            tiles: up(work.tiles.len()),
            pages: up(work.pages.len()),
            scaled: up(work.scaled.len()),
        }
    }

    /// Eights of vectors that a block of `linear` takes at a time for this many vectors; more than that many are run wide.
    pub const fn eights(vectors: u32) -> u32 {
        match vectors {
            0..=8 => 1,
            9..=16 => 2,
            _ => 4,
        }
    }

    /// Whether a matrix product over this many vectors is run wide.
    pub const fn is_wide(vectors: u32) -> bool {
        vectors > 32
    }

    /// Tokens of a group with an adapter.
    pub const fn group_tokens(&self) -> u32 {
        Self::eights(self.tokens) * 8
    }

    /// Entries of all groups.
    pub const fn entries(&self) -> u32 {
        self.tokens * self.places
    }
}
