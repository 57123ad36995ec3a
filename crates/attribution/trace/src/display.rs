//! Where spans stand in the contributed text, for people to read.
//!
//! Beside a token file lies the text it was made from, and the positions: for each token the bytes it covers,
//! as two u32 big-endian, start and end.

use std::ops::Range;
use tributary_record::Span;

/// Why positions do not fit their text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PositionsError {
    /// Not pairs of u32.
    #[error("positions are pairs of u32, {0} bytes are not")]
    Length(usize),
    /// A token that ends before it starts or past the text.
    #[error("token {0} is not within the text")]
    Range(usize),
}

/// For each token of a document the bytes of its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(Vec<(u32, u32)>);

impl Positions {
    /// Positions as a tokenizer reports them; `None` when the text is above 4 GiB.
    #[must_use]
    pub fn new(offsets: &[(usize, usize)]) -> Option<Self> {
        let pair = |&(start, end): &(usize, usize)| Some((start.try_into().ok()?, end.try_into().ok()?));
        offsets.iter().map(pair).collect::<Option<_>>().map(Self)
    }

    /// Reads a positions file that lies beside `text`.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn from_bytes(bytes: &[u8], text: &str) -> Result<Self, PositionsError> {
        let (pairs, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(PositionsError::Length(bytes.len()));
        }
        let mut positions = Vec::with_capacity(pairs.len());
        for (at, pair) in pairs.iter().enumerate() {
            let [a, b, c, d, e, f, g, h] = *pair;
            let (start, end) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
            if start > end || end as usize > text.len() {
                return Err(PositionsError::Range(at));
            }
            positions.push((start, end));
        }
        Ok(Self(positions))
    }

    /// The positions file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = |(start, end): &(u32, u32)| [start.to_be_bytes(), end.to_be_bytes()].concat();
        self.0.iter().flat_map(bytes).collect()
    }

    /// Tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of the text that tokens `first .. first + count` cover; `None` when there are not so many.
    #[must_use]
    pub fn bytes_of(&self, first: u32, count: u32) -> Option<Range<usize>> {
        let first = first as usize;
        let tokens = self.0.get(first..first.checked_add(count as usize)?)?;
        let start = tokens.iter().map(|token| token.0).min()?;
        let end = tokens.iter().map(|token| token.1).max()?;
        Some(start as usize..end as usize)
    }
}

/// A span as a reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The bytes of the text, widened to whole characters (a token may be part of one).
    pub range: Range<usize>,
    /// The line they begin in, from 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
}

/// Where a span stands in its contribution's text; `None` when text and positions are not of it.
#[must_use]
pub fn show(span: &Span, positions: &Positions, text: &str) -> Option<Shown> {
    let bytes = positions.bytes_of(span.offset, span.len)?;
    if bytes.end > text.len() {
        return None;
    }
    let range = text.floor_char_boundary(bytes.start)..text.ceil_char_boundary(bytes.end);
    let line = 1 + text[..range.start].bytes().filter(|byte| *byte == b'\n').count();
    Some(Shown { line, text: text[range.clone()].to_owned(), range })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span { start: 0, len: 2, contribution: 1, offset: 1 };

    #[test]
    fn a_span_is_shown_in_whole_characters() {
        let text = "a\né bc";
        let positions = Positions::new(&[(0, 2), (2, 3), (3, 5), (5, 7)]).expect("short");
        let shown = show(&SPAN, &positions, text).expect("in the text");
        assert_eq!((shown.text.as_str(), shown.line), ("é ", 2));
        let half = Span { len: 1, ..SPAN };
        assert_eq!(show(&half, &positions, text).expect("in the text").text, "é");
        assert_eq!(Positions::from_bytes(&positions.to_bytes(), text), Ok(positions));
    }

    #[test]
    fn positions_of_another_text_are_refused() {
        let positions = Positions::new(&[(0, 2), (2, 9)]).expect("short");
        assert_eq!(Positions::from_bytes(&positions.to_bytes(), "four"), Err(PositionsError::Range(1)));
        assert_eq!(Positions::from_bytes(&[0; 9], "four"), Err(PositionsError::Length(9)));
        assert_eq!(show(&SPAN, &positions, "four"), None);
        let long = Span { offset: u32::MAX, len: u32::MAX, ..SPAN };
        assert_eq!(show(&long, &positions, "four"), None);
    }
}
