//! An open segment and the search in it.

use crate::document::Identity;
use crate::error::IndexError;
use crate::format::{
    CHECKSUM_AT, Counts, DOCUMENT_BYTES, HEAD_BYTES, Layout, MAGIC, VERSION, Words, checksum,
};
use crate::map::map;
use crate::minima;
use memmap2::Mmap;
use std::cmp::Ordering;
use std::fs::File;
use std::path::Path;

/// The symbol of no token: it ends documents, and a window that holds it stands nowhere.
const ABSENT: u32 = 0;

/// Lengths of the ends of a context that [`Segment::follow`] looks for.
const FOLLOWED: [usize; 3] = [4, 8, 16];

/// The place of a window that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The contribution.
    pub contribution: u64,
    /// When it was committed.
    pub commit_block: u64,
    /// First token of the window in it.
    pub offset: u32,
}

/// A mapped segment file, checked when it was opened.
#[derive(Debug)]
pub struct Segment {
    map: Mmap,
    counts: Counts,
    layout: Layout,
    identity: Identity,
}

impl Segment {
    /// Opens a file and checks all of it.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`] when it is no sound segment of this version.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let file = File::open(path).map_err(IndexError::io(path))?;
        let corrupt = |why| IndexError::Corrupt { path: path.to_owned(), why };
        if file.metadata().map_err(IndexError::io(path))?.len() == 0 {
            return Err(corrupt("empty"));
        }
        let map = map(&file).map_err(IndexError::io(path))?;
        let (counts, layout, identity) = read_head(&map).map_err(corrupt)?;
        let segment = Self { map, counts, layout, identity };
        segment.check_buckets().map_err(corrupt)?;
        Ok(segment)
    }

    /// What it was built from.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// Contributions in it.
    #[must_use]
    pub const fn documents(&self) -> usize {
        self.counts.documents
    }

    /// Tokens in it.
    #[must_use]
    pub const fn tokens(&self) -> usize {
        self.counts.text - self.counts.documents
    }

    /// Where the window stands first in the order of priority; `None` when it stands nowhere.
    #[must_use]
    pub fn find(&self, window: &[u32]) -> Option<Found> {
        self.find_symbols(&self.symbols(window))
    }

    /// Where each window of this many tokens stands first, by the window's start.
    #[must_use]
    pub fn find_all(&self, tokens: &[u32], width: usize) -> Vec<Option<Found>> {
        let symbols = self.symbols(tokens);
        symbols.windows(width.max(1)).map(|window| self.find_symbols(window)).collect()
    }

    /// Appends the tokens that follow the end of `context` where it stands, at most `most` and none beyond the contribution's end. How
    /// many tokens at the end of `context` were looked for and found: the largest of 16, 8 and 4, or 0.
    pub fn follow(&self, context: &[u32], most: usize, next: &mut Vec<u32>) -> usize {
        let symbols = self.symbols(&context[context.len().saturating_sub(FOLLOWED[FOLLOWED.len() - 1])..]);
        let mut best = None;
        for width in FOLLOWED {
            let Some(start) = symbols.len().checked_sub(width) else { break };
            let Some((from, _)) = self.range(&symbols[start..]) else { break };
            best = Some((width, self.suffixes().at(from) as usize + width));
        }
        let Some((width, position)) = best else { return 0 };
        let text = self.section(self.layout.text, self.layout.suffixes);
        let alphabet = self.section(self.layout.alphabet, self.layout.buckets);
        let symbols = (position..text.len()).map(|at| text.at(at)).take_while(|symbol| *symbol != ABSENT);
        next.extend(symbols.take(most).map(|symbol| alphabet.at(symbol as usize - 1)));
        width
    }

    fn find_symbols(&self, symbols: &[u32]) -> Option<Found> {
        let (from, to) = self.range(symbols)?;
        let position = minima::least(self.suffixes(), self.minima(), from, to);
        self.place(position)
    }

    /// How often the window stands in the segment.
    #[must_use]
    pub fn count(&self, window: &[u32]) -> usize {
        self.range(&self.symbols(window)).map_or(0, |(from, to)| to - from)
    }

    /// Tokens as symbols, [`ABSENT`] where the segment does not hold the token.
    fn symbols(&self, tokens: &[u32]) -> Vec<u32> {
        let alphabet = self.section(self.layout.alphabet, self.layout.buckets);
        let symbol = |token: &u32| {
            let place = partition(0, alphabet.len(), |place| alphabet.at(place) < *token);
            if place < alphabet.len() && alphabet.at(place) == *token { place as u32 + 1 } else { ABSENT }
        };
        tokens.iter().map(symbol).collect()
    }

    /// The suffixes that begin with these symbols.
    fn range(&self, symbols: &[u32]) -> Option<(usize, usize)> {
        if symbols.contains(&ABSENT) {
            return None;
        }
        let buckets = self.section(self.layout.buckets, self.layout.text);
        let first = *symbols.first()? as usize;
        let (start, end) = (buckets.at(first) as usize, buckets.at(first + 1) as usize);
        let from = self.lower_bound(symbols, start, end)?;
        let to = self.upper_bound(symbols, from, end);
        Some((from, to))
    }

    /// The first suffix in `start..end` that begins with the symbols, if one does.
    fn lower_bound(&self, symbols: &[u32], start: usize, end: usize) -> Option<usize> {
        let (mut low, mut high) = (start, end);
        // Symbols known to agree at both ends: all suffixes between share the shorter of the two.
        let (mut low_same, mut high_same) = (1, 1);
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let (order, same) = self.compare(middle, symbols, low_same.min(high_same));
            match order {
                Ordering::Less => (low, low_same) = (middle + 1, same),
                Ordering::Equal => {
                    found = Some(middle);
                    (high, high_same) = (middle, same);
                }
                Ordering::Greater => (high, high_same) = (middle, same),
            }
        }
        found
    }

    /// The end of the suffixes that begin with the symbols, `from` being the first: doubling steps, then
    /// halving ones, so that rare windows stay near.
    fn upper_bound(&self, symbols: &[u32], from: usize, end: usize) -> usize {
        let begins = |place: usize| self.compare(place, symbols, 1).0 == Ordering::Equal;
        let (mut low, mut step) = (from + 1, 1);
        let mut high = low;
        while high < end && begins(high) {
            low = high + 1;
            high = (high + step).min(end);
            step *= 2;
        }
        partition(low, high.min(end), begins)
    }

    /// The suffix at `place` against the symbols, the first `skip` known to agree; also how many agree.
    /// A suffix that begins with all of them is equal.
    fn compare(&self, place: usize, symbols: &[u32], skip: usize) -> (Ordering, usize) {
        let text = self.section(self.layout.text, self.layout.suffixes);
        let position = self.suffixes().at(place) as usize;
        for (at, symbol) in symbols.iter().enumerate().skip(skip) {
            let order = text.at(position + at).cmp(symbol);
            if order != Ordering::Equal {
                return (order, at);
            }
        }
        (Ordering::Equal, symbols.len())
    }

    /// The document and offset of a text position.
    fn place(&self, position: u32) -> Option<Found> {
        let count = self.counts.documents;
        let after = partition(0, count, |at| self.document(at).is_some_and(|found| found.2 <= position));
        let (contribution, commit_block, start) = self.document(after.checked_sub(1)?)?;
        Some(Found { contribution, commit_block, offset: position - start })
    }

    fn document(&self, at: usize) -> Option<(u64, u64, u32)> {
        let start = self.layout.documents + at * DOCUMENT_BYTES;
        let bytes = self.map.get(start..start + DOCUMENT_BYTES)?;
        Some((long(bytes, 0)?, long(bytes, 8)?, long(bytes, 16)? as u32))
    }

    fn suffixes(&self) -> Words<'_> {
        self.section(self.layout.suffixes, self.layout.minima)
    }

    fn minima(&self) -> Words<'_> {
        self.section(self.layout.minima, self.layout.end)
    }

    fn section(&self, from: usize, to: usize) -> Words<'_> {
        Words::new(self.map.get(from..to).unwrap_or_default())
    }

    fn check_buckets(&self) -> Result<(), &'static str> {
        let buckets = self.section(self.layout.buckets, self.layout.text);
        let ascending = (1..buckets.len()).all(|at| buckets.at(at - 1) <= buckets.at(at));
        let ends = buckets.at(buckets.len() - 1) as usize == self.counts.text;
        if ascending && ends { Ok(()) } else { Err("the buckets do not cover the suffixes") }
    }
}

fn read_head(file: &[u8]) -> Result<(Counts, Layout, Identity), &'static str> {
    if file.len() < HEAD_BYTES {
        return Err("shorter than its head");
    }
    if file[..8] != MAGIC {
        return Err("not a segment");
    }
    if long(file, 8) != Some(u64::from(VERSION)) {
        return Err("another version");
    }
    let count =
        |at: usize| long(file, at).and_then(|count| usize::try_from(count).ok()).ok_or("absurd counts");
    let counts = Counts { documents: count(80)?, text: count(88)?, alphabet: count(96)? };
    let layout = counts.layout().ok_or("absurd counts")?;
    if layout.end != file.len() || counts.text < counts.documents {
        return Err("truncated, or longer than its counts");
    }
    if file[CHECKSUM_AT..CHECKSUM_AT + 32] != checksum(file) {
        return Err("checksum differs");
    }
    let mut identity = [0u8; 32];
    identity.copy_from_slice(&file[48..80]);
    Ok((counts, layout, Identity(identity)))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk::<8>()?))
}

/// The first of `low..high` for which the predicate fails; it holds for all before and none after.
fn partition(mut low: usize, mut high: usize, holds: impl Fn(usize) -> bool) -> usize {
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
