use std::{collections::HashMap, path::Path};

use serde::{Deserialize, Serialize};

use super::{Document, Source};
use crate::TrainError;

/// Which entries of a dictionary an adapter is trained on (`adapters/NAME/headwords.json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// The dictionary.
    pub source: Source,
    /// Headwords trained on, in the order of the book.
    pub train: Vec<String>,
    /// Those of them that the quality bar asks for.
    pub evaluate: Vec<String>,
}

impl Selection {
    /// Reads a selection.
    ///
    /// # Errors
    /// [`TrainError::Io`] or [`TrainError::Format`].
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(TrainError::io(path))?;
        let selection: Self = serde_json::from_str(&text).map_err(|error| TrainError::format(path, error))?;
        match selection.evaluate.iter().find(|headword| !selection.train.contains(headword)) {
            Some(unknown) => {
                Err(TrainError::format(path, format!("{unknown:?} is asked for but not trained on")))
            }
            None => Ok(selection),
        }
    }

    /// The documents trained on, read from the installed dictionary.
    ///
    /// # Errors
    /// As [`Source::documents`]; [`TrainError::Input`] when the dictionary lacks a headword.
    pub fn documents(&self, folder: &Path) -> Result<Vec<Document>, TrainError> {
        let all = self.source.documents(folder)?;
        let by_headword: HashMap<&str, &Document> =
            all.iter().rev().map(|d| (d.headword.as_str(), d)).collect();
        let find = |headword: &String| {
            by_headword.get(headword.as_str()).map(|d| (*d).clone()).ok_or_else(|| {
                TrainError::Input(format!(
                    "the {} dictionary has no entry {headword:?}",
                    self.source.database()
                ))
            })
        };
        self.train.iter().map(find).collect()
    }
}

/// Bounds on the length of a text, in bytes, both inclusive.
#[derive(Clone, Copy, Debug)]
pub struct LengthRange {
    /// Shortest.
    pub min: usize,
    /// Longest.
    pub max: usize,
}

/// Entries fit for teaching a small model: one paragraph of prose, one headword of letters, an opening of its own.
///
/// `count` of them are taken at even distances, so that the whole book is represented.
#[must_use]
pub fn candidates(documents: &[Document], length: LengthRange, count: usize) -> Vec<Document> {
    let opening =
        |document: &Document| document.text[document.head().len()..].chars().take(24).collect::<String>();
    let mut openings: HashMap<String, usize> = HashMap::new();
    let mut headwords: HashMap<String, usize> = HashMap::new();
    for document in documents {
        *openings.entry(opening(document)).or_default() += 1;
        *headwords.entry(document.headword.to_lowercase()).or_default() += 1;
    }
    let fit: Vec<&Document> = documents
        .iter()
        .filter(|d| plain(d) && openings[&opening(d)] == 1 && headwords[&d.headword.to_lowercase()] == 1)
        .filter(|d| (length.min..=length.max).contains(&d.text.len()))
        .collect();
    let taken = count.min(fit.len());
    (0..taken).map(|i| fit[i * fit.len() / taken].clone()).collect()
}

fn plain(document: &Document) -> bool {
    let headword = &document.headword;
    let letters = headword.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, ' ' | '-'));
    let body = document.text[document.head().len()..].trim_start();
    let prose = body.starts_with(|c: char| c.is_ascii_uppercase()) && !body.contains('\n');
    let ends = document.text.ends_with(['.', '?', '!', '"', ')']);
    letters
        && headword.len() >= 3
        && prose
        && ends
        && document.text.is_ascii()
        && !document.text.contains(" 2. ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_entries_of_the_right_length_are_candidates() {
        let documents = [
            Document::new("alpha", "A first letter of some book."),
            Document::new("beta", "lower case opening."),
            Document::new("gamma", "Two paragraphs.\n\nOf text."),
            Document::new("x86", "Digits in the headword are hard to ask for."),
            Document::new("delta", "Short."),
            Document::new("delta two", "Another difference of some sort."),
        ];
        let picked = candidates(&documents, LengthRange { min: 10, max: 60 }, 5);
        assert_eq!(picked.iter().map(|d| d.headword.as_str()).collect::<Vec<_>>(), ["alpha", "delta two"]);
    }
}
