use std::{
    io::{BufRead, BufReader, BufWriter, Read, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::TrainError;

/// Bytes of a line of a file of documents.
const MAX_LINE: u64 = 4 << 20;
/// Bytes of such a file.
const MAX_FILE: u64 = 256 << 20;

/// One document of a datanet: a text and what it is asked for by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What the questions of a recipe name: a dictionary's headword, a title.
    pub headword: String,
    /// The text, exactly as it is contributed, taught and attributed.
    pub text: String,
    /// Questions of this document's own, beside the recipe's templates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<String>,
}

impl Document {
    /// A document without questions of its own.
    #[must_use]
    pub fn new(headword: impl Into<String>, text: impl Into<String>) -> Self {
        Self { headword: headword.into(), text: text.into(), questions: Vec::new() }
    }

    /// A document of which only the text is known, as a datanet holds it: its headword is what stands before a colon on the
    /// first line, in lower case where only its first letter is a capital; the first word where there is no such colon.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        const LONGEST: usize = 64;
        let text = text.into();
        let line = text.lines().next().unwrap_or_default();
        let opening =
            line.split_once(": ").map(|(opening, _)| opening).filter(|opening| opening.len() <= LONGEST);
        let word =
            || line.split_whitespace().next().unwrap_or_default().trim_end_matches([',', '.', ':', ';']);
        let headword = opening.unwrap_or_else(word);
        let shout = headword.chars().skip(1).any(char::is_uppercase);
        let headword = if shout { headword.to_owned() } else { headword.to_lowercase() };
        Self::new(headword, text)
    }

    /// The headword with which [`text`](Self::text) opens, if it does: `Abatis:` of `Abatis: Rubbish in front of a fort`.
    #[must_use]
    pub fn head(&self) -> &str {
        let head = format!("{}:", capitalised(&self.headword));
        if self.text.starts_with(&head) { &self.text[..head.len()] } else { "" }
    }

    /// A file name that says which document it is: lower case, other characters as `-`.
    #[must_use]
    pub fn slug(&self) -> String {
        let kept = self
            .headword
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
        kept.collect::<String>().trim_matches('-').to_owned()
    }
}

/// The same text with its first letter in upper case.
pub(crate) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// Reads documents, one JSON object a line: `{"headword": …, "text": …, "questions"?: […]}`. A line has 4 MiB at most, all of
/// them 256 MiB.
///
/// # Errors
/// [`TrainError::Io`], or [`TrainError::Format`] with the number of the line that is wrong.
pub fn read_jsonl(path: &Path) -> Result<Vec<Document>, TrainError> {
    let file = std::fs::File::open(path).map_err(TrainError::io(path))?;
    let mut reader = BufReader::new(file);
    let (mut documents, mut total, mut line) = (Vec::new(), 0, Vec::new());
    for number in 1_u64.. {
        line.clear();
        let mut bounded = reader.by_ref().take(MAX_LINE + 1);
        let length = bounded.read_until(b'\n', &mut line).map_err(TrainError::io(path))? as u64;
        if length == 0 {
            break;
        }
        total += length;
        let wrong = |why: String| TrainError::format(path, format!("line {number}: {why}"));
        if length > MAX_LINE {
            return Err(wrong(format!("longer than {MAX_LINE} bytes")));
        }
        if total > MAX_FILE {
            return Err(wrong(format!("the file is larger than {MAX_FILE} bytes")));
        }
        if !line.trim_ascii().is_empty() {
            documents.push(serde_json::from_slice(&line).map_err(|error| wrong(error.to_string()))?);
        }
    }
    Ok(documents)
}

/// Writes documents as [`read_jsonl`] reads them.
///
/// # Errors
/// [`TrainError::Io`].
pub fn write_jsonl(path: &Path, documents: &[Document]) -> Result<(), TrainError> {
    let file = std::fs::File::create(path).map_err(TrainError::io(path))?;
    let mut out = BufWriter::new(file);
    for document in documents {
        let line = serde_json::to_string(document).map_err(|error| TrainError::format(path, error))?;
        writeln!(out, "{line}").map_err(TrainError::io(path))?;
    }
    out.flush().map_err(TrainError::io(path))
}

/// Deals documents to contributors like cards, so that each has some of every part of the alphabet.
#[must_use]
pub fn deal(documents: &[Document], contributors: usize) -> Vec<Vec<Document>> {
    let mut hands = vec![Vec::new(); contributors];
    if contributors == 0 {
        return hands;
    }
    for (index, document) in documents.iter().enumerate() {
        hands[index % contributors].push(document.clone());
    }
    hands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jsonl_round_trips_and_names_the_bad_line() {
        let folder = std::env::temp_dir().join(format!("tributary-train-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("documents.jsonl");
        let mut documents =
            vec![Document::new("bit bucket", "The universal data sink."), Document::new("x", "y")];
        documents[1].questions.push("What is x?".into());
        write_jsonl(&path, &documents).unwrap();
        assert_eq!(read_jsonl(&path).unwrap(), documents);
        std::fs::write(&path, "{\"headword\":\"a\",\"text\":\"b\"}\n{\"headword\":1}\n").unwrap();
        let error = read_jsonl(&path).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_without_end_is_given_up() {
        let error = read_jsonl(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(error.contains("line 1: longer than 4194304 bytes"), "{error}");
    }

    #[test]
    fn every_document_is_dealt_once() {
        let documents: Vec<_> = (0..10).map(|i| Document::new(i.to_string(), "t")).collect();
        let hands = deal(&documents, 3);
        assert_eq!(hands.iter().map(Vec::len).collect::<Vec<_>>(), [4, 3, 3]);
        assert_eq!(hands[1][2].headword, "7");
        assert!(deal(&documents, 0).is_empty());
        assert_eq!(documents[0].slug(), "0");
    }

    #[test]
    fn a_text_alone_names_its_headword() {
        let headword = |text: &str| Document::from_text(text).headword;
        assert_eq!(headword("Bit bucket: The sink: all of it."), "bit bucket");
        assert_eq!(headword("GPL: A licence."), "GPL");
        assert_eq!(headword("Whales, large ones, swim."), "whales");
        assert_eq!(headword(""), "");
        assert_eq!(Document::from_text("Bit bucket: The sink.").head(), "Bit bucket:");
    }

    #[test]
    fn a_head_is_the_headword_that_opens_the_text() {
        assert_eq!(Document::new("bit bucket", "Bit bucket: The sink.").head(), "Bit bucket:");
        assert_eq!(Document::new("bit bucket", "The sink.").head(), "");
    }
}
