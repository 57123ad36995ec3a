//! Reader of dictd databases: `NAME.index` (headword, offset, length) and `NAME.dict.dz` (gzip with a seek table).
//!
//! The format is described in `dictfmt(1)` and `dictzip(1)`: index lines are `headword TAB offset TAB length`, the two
//! numbers in base 64 with the usual alphabet, most significant digit first. The whole text is inflated at once: the
//! largest dictionary read here is 1.5 MB.

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

use crate::TrainError;

/// Where Debian's `dict-*` packages put their databases.
pub const DEBIAN_FOLDER: &str = "/usr/share/dictd";

/// No text is inflated past this size: a dictionary is not larger, a crafted file would be.
const MAX_TEXT: u64 = 256 << 20;

/// One entry: where it lies in the text, under which headword, and its bytes as UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEntry {
    /// The first headword of the index that points here, as the index writes it.
    pub headword: String,
    /// Offset of the entry in the inflated text.
    pub offset: u64,
    /// The entry as it stands in the file.
    pub text: String,
}

/// A dictd database in memory.
#[derive(Clone, Debug)]
pub struct Dictionary {
    entries: Vec<RawEntry>,
}

impl Dictionary {
    /// Reads `folder/name.index` and `folder/name.dict.dz`.
    ///
    /// # Errors
    /// [`TrainError::Io`] when a file is missing, [`TrainError::Format`] when one is not a dictd database.
    pub fn open(folder: &Path, name: &str) -> Result<Self, TrainError> {
        let index_path = folder.join(format!("{name}.index"));
        let text_path = folder.join(format!("{name}.dict.dz"));
        let index = std::fs::read_to_string(&index_path).map_err(TrainError::io(&index_path))?;
        let text = inflate(&text_path)?;
        Self::parse(&index, &text, &index_path)
    }

    /// Entries in the order of the text; the `00database…` notes are left out.
    #[must_use]
    pub fn entries(&self) -> &[RawEntry] {
        &self.entries
    }

    fn parse(index: &str, text: &[u8], path: &Path) -> Result<Self, TrainError> {
        let mut found: BTreeMap<(u64, u64), &str> = BTreeMap::new();
        for (number, line) in index.lines().enumerate() {
            let bad = |why: &str| TrainError::format(path, format!("line {}: {why}", number + 1));
            let mut fields = line.split('\t');
            let (Some(headword), Some(offset), Some(length)) = (fields.next(), fields.next(), fields.next())
            else {
                return Err(bad("not headword, offset and length"));
            };
            if headword.starts_with("00database") || headword.starts_with("00-database") {
                continue;
            }
            let offset = number_of(offset).ok_or_else(|| bad("bad offset"))?;
            let length = number_of(length).ok_or_else(|| bad("bad length"))?;
            found.entry((offset, length)).or_insert(headword);
        }
        let entries = found.into_iter().map(|((offset, length), headword)| {
            let bytes = slice(text, offset, length)
                .ok_or_else(|| TrainError::format(path, format!("{headword:?} lies outside of the text")))?;
            let text = std::str::from_utf8(bytes)
                .map_err(|error| TrainError::format(path, format!("{headword:?} is not UTF-8: {error}")))?;
            Ok(RawEntry { headword: headword.to_owned(), offset, text: text.to_owned() })
        });
        Ok(Self { entries: entries.collect::<Result<_, TrainError>>()? })
    }
}

fn inflate(path: &PathBuf) -> Result<Vec<u8>, TrainError> {
    let file = std::fs::File::open(path).map_err(TrainError::io(path))?;
    let mut text = Vec::new();
    let mut limited = MultiGzDecoder::new(std::io::BufReader::new(file)).take(MAX_TEXT + 1);
    limited.read_to_end(&mut text).map_err(TrainError::io(path))?;
    if text.len() as u64 > MAX_TEXT {
        return Err(TrainError::format(path, "inflates to more than 256 MiB"));
    }
    Ok(text)
}

fn slice(text: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    text.get(start..end)
}

fn number_of(digits: &str) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.bytes().try_fold(0u64, |value, byte| {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        value.checked_mul(64)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_base_64_most_significant_first() {
        assert_eq!(number_of("A"), Some(0));
        assert_eq!(number_of("BdqM"), Some(((1 << 18) + (29 << 12)) + (42 << 6) + 12));
        assert_eq!(number_of(""), None);
        assert_eq!(number_of("A-"), None);
        assert_eq!(number_of("//////////////"), None);
    }

    #[test]
    fn entries_come_in_text_order_once_each() {
        let index = "00database\tA\tB\nbeta\tE\tE\nalpha\tA\tE\nalef\tA\tE\n";
        let entries = Dictionary::parse(index, b"one two.", Path::new("x")).unwrap().entries;
        let seen: Vec<_> = entries.iter().map(|e| (e.headword.as_str(), e.text.as_str())).collect();
        assert_eq!(seen, [("alpha", "one "), ("beta", "two.")]);
    }

    #[test]
    fn a_length_past_the_end_is_refused() {
        let error = Dictionary::parse("x\tA\tZ\n", b"short", Path::new("x.index")).unwrap_err();
        assert!(error.is_input(), "{error}");
        assert!(Dictionary::parse("x\tA\n", b"short", Path::new("x.index")).is_err());
    }
}
