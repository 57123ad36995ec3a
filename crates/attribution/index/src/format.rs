//! The segment file: a fixed head, then sections whose sizes follow from the head's counts.
//!
//! ```text
//! magic 8 · version u32 · 0 u32 · sha256 of all that follows 32 · identity 32
//! documents u64 · text u64 · alphabet u64
//! documents × (contribution u64, commitBlock u64, start u32, len u32)
//! alphabet × token u32, ascending            (symbol = place + 1; symbol 0 ends each document)
//! (alphabet + 2) × first place u32           (of the suffixes that begin with a symbol)
//! text × symbol u32
//! text × position u32                        (the suffix array)
//! minima × position u32                      (sparse table over blocks of the suffix array)
//! ```
//! Everything little-endian.

use crate::minima;
use sha2::{Digest, Sha256};

pub(crate) const MAGIC: [u8; 8] = *b"TRIBSEG\0";
pub(crate) const VERSION: u32 = 1;
pub(crate) const CHECKSUM_AT: usize = 16;
pub(crate) const CHECKED_FROM: usize = 48;
pub(crate) const HEAD_BYTES: usize = 48 + 32 + 3 * 8;
pub(crate) const DOCUMENT_BYTES: usize = 24;

/// How many of what a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) documents: usize,
    pub(crate) text: usize,
    pub(crate) alphabet: usize,
}

/// Where the sections begin; the last entry is the file's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) documents: usize,
    pub(crate) alphabet: usize,
    pub(crate) buckets: usize,
    pub(crate) text: usize,
    pub(crate) suffixes: usize,
    pub(crate) minima: usize,
    pub(crate) end: usize,
}

impl Counts {
    /// The layout, `None` when the counts are absurd.
    pub(crate) fn layout(&self) -> Option<Layout> {
        let after = |start: usize, count: usize, size: usize| start.checked_add(count.checked_mul(size)?);
        let documents = HEAD_BYTES;
        let alphabet = after(documents, self.documents, DOCUMENT_BYTES)?;
        let buckets = after(alphabet, self.alphabet, 4)?;
        let text = after(buckets, self.alphabet.checked_add(2)?, 4)?;
        let suffixes = after(text, self.text, 4)?;
        let minima = after(suffixes, self.text, 4)?;
        let end = after(minima, minima::table_len(self.text), 4)?;
        Some(Layout { documents, alphabet, buckets, text, suffixes, minima, end })
    }
}

/// The checksum over what follows it.
pub(crate) fn checksum(file: &[u8]) -> [u8; 32] {
    Sha256::digest(file.get(CHECKED_FROM..).unwrap_or_default()).into()
}

/// A section of u32 in place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words<'a>(&'a [[u8; 4]]);

impl<'a> Words<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.as_chunks::<4>().0)
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The word at `place`; past the end 0, which a checked file never asks for.
    #[inline]
    pub(crate) fn at(&self, place: usize) -> u32 {
        self.0.get(place).map_or(0, |word| u32::from_le_bytes(*word))
    }
}
