use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    Document,
    dictd::{Dictionary, RawEntry},
    document::capitalised,
};
use crate::TrainError;

/// The dictionaries this project trains on, and how each marks up its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The Devil's Dictionary, Ambrose Bierce, 1911 (Debian: `dict-devil`).
    Devil,
    /// The Jargon File 4.4.7 (Debian: `dict-jargon`).
    Jargon,
}

impl Source {
    /// The name of the database files.
    #[must_use]
    pub const fn database(self) -> &'static str {
        match self {
            Self::Devil => "devil",
            Self::Jargon => "jargon",
        }
    }

    /// The adapter and the datanet made from it, and the Debian package that holds the text.
    #[must_use]
    pub const fn adapter(self) -> &'static str {
        match self {
            Self::Devil => "dict-devil",
            Self::Jargon => "dict-jargon",
        }
    }

    /// Every entry of the installed dictionary, cleaned, in the order of the book.
    ///
    /// # Errors
    /// [`TrainError::Io`] when the Debian package is not installed (`make setup` installs it).
    pub fn documents(self, folder: &Path) -> Result<Vec<Document>, TrainError> {
        let dictionary = Dictionary::open(folder, self.database())?;
        Ok(dictionary
            .entries()
            .iter()
            .map(|entry| self.clean(entry))
            .filter(|d| !d.text.is_empty())
            .collect())
    }

    /// One entry without markup: headword apart, wrapped lines joined, paragraphs parted by an empty line.
    #[must_use]
    pub fn clean(self, entry: &RawEntry) -> Document {
        match self {
            Self::Devil => devil(entry),
            Self::Jargon => jargon(entry),
        }
    }
}

/// `ABATIS, n.  Rubbish in front …`: the headword in capitals, the part of speech, then prose; verse is indented.
fn devil(entry: &RawEntry) -> Document {
    let text = paragraphs(&entry.text, 0).replace('_', "");
    let body = text
        .strip_prefix(|c: char| c.is_ascii_uppercase())
        .map_or(text.as_str(), |_| after_speech_part(&text));
    headed(&entry.headword, body.trim())
}

/// What follows `HEADWORD, n. `, or the whole text when it does not open so (the single letters, a few Latin phrases).
fn after_speech_part(text: &str) -> &str {
    const PARTS: [&str; 14] = [
        "n.pl.",
        "n.",
        "adj. and n.",
        "adj.",
        "v.t.",
        "v.i.",
        "v.",
        "adv.",
        "pp.",
        "p.p.",
        "pro.",
        "pron.",
        "x.",
        "prep.",
    ];
    let capitals = text
        .find(|c: char| !(c.is_ascii_uppercase() || matches!(c, ' ' | '\'' | '-' | '.' | ',')))
        .unwrap_or(text.len());
    let Some(comma) = text[..capitals].rfind(", ") else { return text };
    let rest = &text[comma + 2..];
    let part =
        PARTS.iter().find(|part| rest.strip_prefix(**part).is_some_and(|after| after.starts_with(' ')));
    part.map_or(text, |part| &rest[part.len()..])
}

/// `headword`, a line of pronunciation and part of speech, then prose indented by four with `{links}`.
fn jargon(entry: &RawEntry) -> Document {
    let mut lines = entry.text.splitn(3, '\n');
    let headword = lines.next().unwrap_or_default().trim();
    let body = lines.nth(1).unwrap_or_default();
    let headword = if headword.is_empty() { entry.headword.as_str() } else { headword };
    headed(headword, unlink(&ascii_quotes(&paragraphs(body, 4))).trim())
}

/// `Headword: text`. A model that names the headword first recalls the rest from it, however the question was worded.
fn headed(headword: &str, text: &str) -> Document {
    match text {
        "" => Document::new(headword, ""),
        text => Document::new(headword, format!("{}: {text}", capitalised(headword))),
    }
}

/// Joins wrapped lines; lines indented deeper than `margin` are verse or figures and keep their ends.
fn paragraphs(text: &str, margin: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut verse = false;
    let mut fresh = true;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() {
            fresh = true;
            continue;
        }
        let deep = line.len() - line.trim_start().len() > margin;
        if !out.is_empty() {
            out.push_str(match (fresh, verse && deep) {
                (true, _) => "\n\n",
                (false, true) => "\n",
                (false, false) => " ",
            });
        }
        let mut words = trimmed.split_whitespace();
        out.extend(words.next());
        words.for_each(|word| {
            out.push(' ');
            out.push_str(word);
        });
        (verse, fresh) = (deep, false);
    }
    out
}

fn ascii_quotes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '“' | '”' => out.push('"'),
            '‘' | '’' => out.push('\''),
            '—' => out.push_str("--"),
            '–' => out.push('-'),
            '…' => out.push_str("..."),
            '\u{a0}' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// `{bit bucket}` is a link: its braces go, with the space that wrapping has left inside of them.
fn unlink(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' => while chars.next_if(|c| *c == ' ').is_some() {},
            '}' => out.truncate(out.trim_end_matches(' ').len()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(headword: &str, text: &str) -> RawEntry {
        RawEntry { headword: headword.into(), offset: 0, text: text.into() }
    }

    #[test]
    fn a_devils_entry_loses_its_head_and_its_line_ends() {
        let entry = raw(
            "abatis",
            "ABATIS, n.  Rubbish in front of a fort, to prevent\nthe _rubbish_ outside.  So.\n\n",
        );
        let document = Source::Devil.clean(&entry);
        assert_eq!(document.headword, "abatis");
        assert_eq!(document.text, "Abatis: Rubbish in front of a fort, to prevent the rubbish outside. So.");
    }

    #[test]
    fn unusual_heads_stay() {
        let clean = |text| Source::Devil.clean(&raw("x", text)).text;
        assert_eq!(
            clean("CUI BONO?  [Latin]  What good would that do _me_?\n"),
            "X: CUI BONO? [Latin] What good would that do me?"
        );
        assert_eq!(clean("J is a consonant in English.\n"), "X: J is a consonant in English.");
        assert_eq!(clean("CONFIDANT, CONFIDANTE, n.  One entrusted.\n"), "X: One entrusted.");
        assert_eq!(clean("DIE, n.  The singular of 'dice.'\n"), "X: The singular of 'dice.'");
    }

    #[test]
    fn verse_keeps_its_lines() {
        let entry = raw(
            "advice",
            "ADVICE, n.  The smallest current coin.\n\n    \"The man,\"\n    Said Tom.\n        Jebel Jocordy\n",
        );
        assert_eq!(
            Source::Devil.clean(&entry).text,
            "Advice: The smallest current coin.\n\n\"The man,\"\nSaid Tom.\nJebel Jocordy"
        );
    }

    #[test]
    fn a_jargon_entry_loses_links_and_curly_quotes() {
        let text = "404 compliant\n adj.\n\n    The status of “a website” which\n    has gone -- see {spam}, {\n    spamvertize} and {vadding\n    }.\n\n";
        let document = Source::Jargon.clean(&raw("404 compliant", text));
        assert_eq!(document.headword, "404 compliant");
        assert_eq!(
            document.text,
            "404 compliant: The status of \"a website\" which has gone -- see spam, spamvertize and vadding."
        );
    }
}
