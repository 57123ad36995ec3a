//! From tokens to a segment file's bytes.

use crate::document::{Document, Identity};
use crate::error::IndexError;
use crate::format::{CHECKED_FROM, CHECKSUM_AT, Counts, MAGIC, VERSION, checksum};
use crate::minima;
use libsais::SuffixArrayConstruction;
use std::collections::HashMap;

/// Text positions are sorted as i32, and the sorter wants some room.
const MAX_TEXT: u64 = (1 << 31) - (1 << 16);

/// The bytes of the segment over these contributions and their tokens.
///
/// # Errors
/// When a contribution stands twice, its tokens are not what was put on chain, or there are too many.
pub fn build(mut documents: Vec<(Document, Vec<u32>)>) -> Result<Vec<u8>, IndexError> {
    documents.sort_by_key(|(document, _)| document.priority());
    check(&documents)?;
    let alphabet = alphabet(&documents);
    let mut text = text(&documents, &alphabet);
    let suffixes = sort(&mut text)?;
    let buckets = buckets(&text, alphabet.len());
    let minima = minima::table(&suffixes);
    let counts = Counts { documents: documents.len(), text: text.len(), alphabet: alphabet.len() };
    let layout = counts.layout().ok_or(IndexError::TooLarge(text.len() as u64))?;

    let mut file = Vec::with_capacity(layout.end);
    file.extend(MAGIC);
    file.extend(VERSION.to_le_bytes());
    file.resize(CHECKED_FROM, 0);
    let described: Vec<Document> = documents.iter().map(|(document, _)| *document).collect();
    file.extend(Identity::of(&described).0);
    for count in [counts.documents, counts.text, counts.alphabet] {
        file.extend((count as u64).to_le_bytes());
    }
    let mut start = 0u32;
    for (document, tokens) in &documents {
        file.extend(document.contribution.to_le_bytes());
        file.extend(document.commit_block.to_le_bytes());
        file.extend(start.to_le_bytes());
        file.extend((tokens.len() as u32).to_le_bytes());
        start += tokens.len() as u32 + 1;
    }
    let symbols: Vec<u32> = text.into_iter().map(i32::cast_unsigned).collect();
    for section in [&alphabet, &buckets, &symbols, &suffixes, &minima] {
        file.extend(section.iter().flat_map(|word| word.to_le_bytes()));
    }
    let sum = checksum(&file);
    file[CHECKSUM_AT..CHECKSUM_AT + 32].copy_from_slice(&sum);
    Ok(file)
}

fn check(documents: &[(Document, Vec<u32>)]) -> Result<(), IndexError> {
    let mut seen: HashMap<u64, ()> = HashMap::with_capacity(documents.len());
    let mut total = 0u64;
    for (document, tokens) in documents {
        if seen.insert(document.contribution, ()).is_some() {
            return Err(IndexError::Twice(document.contribution));
        }
        let same_length = tokens.len() == document.tokens as usize;
        if !same_length || tributary_record::tokens_root(tokens) != Some(document.tokens_root) {
            return Err(IndexError::WrongTokens(document.contribution));
        }
        total += tokens.len() as u64 + 1;
    }
    if total > MAX_TEXT { Err(IndexError::TooLarge(total)) } else { Ok(()) }
}

/// Distinct tokens, ascending.
fn alphabet(documents: &[(Document, Vec<u32>)]) -> Vec<u32> {
    let mut all: Vec<u32> = Vec::new();
    for (_, tokens) in documents {
        all.extend_from_slice(tokens);
        if all.len() > 1 << 20 {
            all.sort_unstable();
            all.dedup();
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// All documents as symbols, each ended by a 0.
fn text(documents: &[(Document, Vec<u32>)], alphabet: &[u32]) -> Vec<i32> {
    let symbol: HashMap<u32, i32> = alphabet.iter().copied().zip(1..).collect();
    let mut text = Vec::with_capacity(documents.iter().map(|(_, tokens)| tokens.len() + 1).sum());
    for (_, tokens) in documents {
        text.extend(tokens.iter().map(|token| symbol[token]));
        text.push(0);
    }
    text
}

fn sort(text: &mut [i32]) -> Result<Vec<u32>, IndexError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let sorted = SuffixArrayConstruction::for_text_mut(text)
        .in_owned_buffer32()
        .single_threaded()
        .run()
        .map_err(|error| IndexError::Sort(error.to_string()))?;
    Ok(sorted.into_vec().into_iter().map(i32::cast_unsigned).collect())
}

/// For each symbol the first place in the suffix array of suffixes that begin with it, and the end.
fn buckets(text: &[i32], alphabet: usize) -> Vec<u32> {
    let mut first = vec![0u32; alphabet + 2];
    for symbol in text {
        first[*symbol as usize + 1] += 1;
    }
    for at in 1..first.len() {
        first[at] += first[at - 1];
    }
    first
}
