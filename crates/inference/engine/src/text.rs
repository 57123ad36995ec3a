//! From token ids to text as it may be shown: whole characters only, nothing that may yet be a stop string.

use tributary_weights::Tokenizer;

/// The bytes of each token. Concatenated they are the text, in UTF-8 up to cut-off characters.
pub trait Vocabulary: Send + Sync {
    /// Bytes of a token; none for control tokens.
    fn bytes(&self, token: u32) -> &[u8];
}

impl Vocabulary for Tokenizer {
    fn bytes(&self, token: u32) -> &[u8] {
        if self.is_control(token) { &[] } else { self.token_bytes(token).unwrap_or_default() }
    }
}

/// The text of one answer as its tokens arrive.
#[derive(Debug, Default)]
pub(crate) struct TextStream {
    stops: Vec<Vec<u8>>,
    /// Bytes not shown yet.
    held: Vec<u8>,
}

/// What a token added.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Added {
    /// Text that can be shown now.
    pub(crate) text: String,
    /// Index of the stop string that ended the text.
    pub(crate) stopped: Option<usize>,
}

impl TextStream {
    pub(crate) fn new(stops: &[String]) -> Self {
        Self { stops: stops.iter().map(|stop| stop.as_bytes().to_vec()).collect(), held: Vec::new() }
    }

    /// Adds a token's bytes. With `watch`, a stop string ends the text at its first byte.
    pub(crate) fn push(&mut self, bytes: &[u8], watch: bool) -> Added {
        self.held.extend_from_slice(bytes);
        if watch && let Some((at, stop)) = self.find_stop() {
            self.held.truncate(at);
            return Added { text: self.flush(), stopped: Some(stop) };
        }
        let keep = self.stop_prefix().max(cut_off(&self.held));
        let shown = self.held.len() - keep;
        // A held stop prefix may begin inside a character that is itself complete: show whole ones only.
        let shown = shown - cut_off(&self.held[..shown]);
        let text = String::from_utf8_lossy(&self.held[..shown]).into_owned();
        self.held.drain(..shown);
        Added { text, stopped: None }
    }

    /// Everything held, at the end of the answer.
    pub(crate) fn flush(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.held).into_owned();
        self.held.clear();
        text
    }

    /// The earliest stop string; at the same place the first listed.
    fn find_stop(&self) -> Option<(usize, usize)> {
        self.stops
            .iter()
            .enumerate()
            .filter_map(|(index, stop)| {
                self.held.windows(stop.len()).position(|window| window == stop).map(|at| (at, index))
            })
            .min()
    }

    /// Length of the longest tail that may become a stop string.
    fn stop_prefix(&self) -> usize {
        self.stops.iter().map(|stop| tail_prefix(&self.held, stop)).max().unwrap_or(0)
    }
}

fn tail_prefix(text: &[u8], stop: &[u8]) -> usize {
    (1..stop.len().min(text.len() + 1)).rev().find(|n| text.ends_with(&stop[..*n])).unwrap_or(0)
}

/// Bytes at the end that begin a character without finishing it.
fn cut_off(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let byte = bytes[bytes.len() - back];
        let need = match byte {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            0x80..=0xBF => continue,
            _ => return 0,
        };
        return if back < need { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(stops: &[&str], pieces: &[&[u8]]) -> (Vec<String>, Option<usize>) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut stream = TextStream::new(&stops);
        let mut shown = Vec::new();
        for piece in pieces {
            let added = stream.push(piece, true);
            shown.push(added.text);
            if added.stopped.is_some() {
                return (shown, added.stopped);
            }
        }
        shown.push(stream.flush());
        (shown, None)
    }

    #[test]
    fn characters_are_never_split() {
        let (shown, _) = run(&[], &[b"a\xE2", b"\x82", b"\xAC!"]);
        assert_eq!(shown, ["a", "", "€!", ""]);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let (shown, _) = run(&[], &[b"a\xFF", b"b\xE2"]);
        assert_eq!(shown, ["a\u{fffd}", "b", "\u{fffd}"]);
    }

    #[test]
    fn a_stop_string_over_several_tokens_is_never_shown() {
        let (shown, stopped) = run(&["END", "\n\n"], &[b"one E", b"N", b"D two"]);
        assert_eq!((shown.concat().as_str(), stopped), ("one ", Some(0)));
        let (shown, stopped) = run(&["END"], &[b"one E", b"N", b"E"]);
        assert_eq!((shown.concat().as_str(), stopped), ("one ENE", None));
        let (shown, stopped) = run(&["b", "abc"], &[b"xab", b"c"]);
        assert_eq!((shown.concat().as_str(), stopped), ("xa", Some(0)));
    }

    #[test]
    fn unwatched_stops_are_only_text() {
        let mut stream = TextStream::new(&["x".to_owned()]);
        assert_eq!(stream.push(b"axb", false), Added { text: "axb".into(), stopped: None });
    }

    proptest! {
        /// However the bytes are cut, the text shown is the text before the first stop string.
        #[test]
        fn cutting_changes_nothing(text in "[abé€]{0,40}", cuts in prop::collection::vec(1usize..4, 0..60)) {
            let stop = "ab€";
            let mut rest = text.as_bytes();
            let mut pieces = Vec::new();
            for cut in cuts.iter().chain(std::iter::repeat(&3)) {
                if rest.is_empty() { break }
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                pieces.push(head);
                rest = tail;
            }
            let (shown, stopped) = run(&[stop], &pieces);
            match text.find(stop) {
                Some(at) => prop_assert_eq!((shown.concat(), stopped), (text[..at].to_owned(), Some(0))),
                None => prop_assert_eq!((shown.concat(), stopped), (text.clone(), None)),
            }
        }
    }
}
