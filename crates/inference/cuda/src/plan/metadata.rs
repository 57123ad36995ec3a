//! The one upload of a step: counts, tokens, page tables, groups, in sections whose places depend on the bucket alone.
//!
//! ```text
//! | header | failed | chosen | ids | positions | slots | rows | tables | wanted | choices | groups | entries | places | splits | tiles | scaled | pages |
//! ```
//!
//! Page tables are last, so that only their used part travels.

use super::{
    bucket::{Bucket, HEADER_WORDS},
    work::Work,
};
use crate::launch::params::Choice;

/// Words of a choice.
const CHOICE_WORDS: u32 = 8;

/// Where each section begins, in words. Sections begin at multiples of four words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sections {
    /// Marks of rows that failed, which kernels set.
    pub failed: u32,
    /// Tokens that were chosen, which kernels write.
    pub chosen: u32,
    /// Token ids.
    pub ids: u32,
    /// Positions.
    pub positions: u32,
    /// Cache slots.
    pub slots: u32,
    /// The row of each token.
    pub rows: u32,
    /// The page table of each token.
    pub tables: u32,
    /// Wanted tokens.
    pub wanted: u32,
    /// How tokens are chosen, eight words each.
    pub choices: u32,
    /// Groups, four words each.
    pub groups: u32,
    /// Entries of groups.
    pub entries: u32,
    /// Where places begin.
    pub places: u32,
    /// Tokens with split positions.
    pub splits: u32,
    /// Tasks of tiled attention, two words each.
    pub tiles: u32,
    /// Addresses of DoRA adapters by token, two words each.
    pub scaled: u32,
    /// Page tables.
    pub pages: u32,
    /// The end.
    pub end: u32,
}

impl Sections {
    /// Of a bucket.
    pub fn new(bucket: &Bucket) -> Self {
        let mut at = HEADER_WORDS;
        let mut section = |words: u32| {
            let start = at;
            at += words.next_multiple_of(4);
            start
        };
        let failed = section(bucket.rows);
        let chosen = section(bucket.choices);
        let [ids, positions, slots, rows, tables] = [(); 5].map(|()| section(bucket.tokens));
        let wanted = section(bucket.wanted);
        let choices = section(bucket.choices * CHOICE_WORDS);
        let groups = section(bucket.groups * 4);
        let entries = section(bucket.entries());
        let places = section(if bucket.places == 0 { 0 } else { bucket.places + 1 });
        let splits = section(bucket.splits);
        let tiles = section(bucket.tiles * 2);
        let scaled = section(bucket.scaled * 2);
        let pages = section(bucket.pages);
        Self {
            failed,
            chosen,
            ids,
            positions,
            slots,
            rows,
            tables,
            wanted,
            choices,
            groups,
            entries,
            places,
            splits,
            tiles,
            scaled,
            pages,
            end: at,
        }
    }
}

/// A step's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The bytes to upload.
    pub bytes: Vec<u8>,
    /// Where the marks of failed rows lie in them.
    pub failed: usize,
    /// Where chosen tokens will be.
    pub chosen: usize,
}

/// Writes a step down for its bucket. `reuse` is a buffer to fill.
pub fn encode(work: &Work, bucket: &Bucket, reuse: Vec<u8>) -> Metadata {
    let sections = Sections::new(bucket);
    let mut bytes = reuse;
    bytes.clear();
    bytes.resize((sections.pages as usize + work.pages.len()) * 4, 0);
    let mut put = |section: u32, words: &mut dyn Iterator<Item = u32>| {
        let start = section as usize * 4;
        for (to, word) in bytes[start..].chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
    };
    let counts = [
        work.tokens.len(),
        work.wanted.len(),
        work.groups.len(),
        work.splits.len(),
        work.tiles.len(),
        work.choices.len(),
    ];
    put(0, &mut counts.into_iter().map(|count| count as u32));
    put(sections.ids, &mut work.tokens.iter().map(|token| token.id));
    put(sections.positions, &mut work.tokens.iter().map(|token| token.position));
    put(sections.slots, &mut work.tokens.iter().map(|token| token.slot));
    put(sections.rows, &mut work.tokens.iter().map(|token| token.row));
    put(sections.tables, &mut work.tokens.iter().map(|token| token.table));
    put(sections.wanted, &mut work.wanted.iter().copied());
    put(sections.choices, &mut work.choices.iter().flat_map(words));
    let group =
        |group: &super::Group| [group.adapter as u32, (group.adapter >> 32) as u32, group.first, group.count];
    put(sections.groups, &mut work.groups.iter().flat_map(group));
    put(sections.entries, &mut work.entries.iter().copied());
    put(sections.places, &mut work.places.iter().copied());
    put(sections.splits, &mut work.splits.iter().copied());
    put(sections.tiles, &mut work.tiles.iter().flat_map(|(first, count)| [*first, *count]));
    let halves = |address: &u64| [*address as u32, (*address >> 32) as u32];
    put(sections.scaled, &mut work.scaled.iter().flat_map(halves));
    put(sections.pages, &mut work.pages.iter().copied());
    Metadata { bytes, failed: sections.failed as usize * 4, chosen: sections.chosen as usize * 4 }
}

fn words(choice: &Choice) -> impl Iterator<Item = u32> {
    let word = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
    choice.bytes().as_chunks::<4>().0.iter().map(word).collect::<Vec<_>>().into_iter()
}
