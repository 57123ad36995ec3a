//! Tells a model's calls from its words, as they come.

use super::scanner::{Found, Scanner};
use tributary_grammar::CallStyle;

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Words.
    Text(String),
    /// A call of this function begins.
    Call(String),
    /// More of its arguments.
    Arguments(String),
    /// It is complete.
    End,
    /// What began as a call is none.
    Malformed,
}

/// Reads one answer.
#[derive(Debug)]
pub(crate) struct CallParser {
    style: CallStyle,
    /// Functions there are: a bare object is a call only of one of these.
    names: Vec<String>,
    /// Whether the answer is bound to be calls: what breaks off is then no words.
    bound: bool,
    place: Place,
    /// Text that may yet be, or turn out not to be, a call.
    held: String,
    scanner: Scanner,
    /// Whether the function of the call at hand was told.
    told: bool,
    /// Whether there was a call behind this tag; and at all.
    tagged_calls: bool,
    calls: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before anything but spaces.
    Start,
    Words,
    Call,
}

impl CallParser {
    pub(crate) fn new(style: CallStyle, names: Vec<String>, bound: bool) -> Self {
        Self {
            style,
            names,
            bound,
            place: Place::Start,
            held: String::new(),
            scanner: Scanner::default(),
            told: false,
            tagged_calls: false,
            calls: false,
        }
    }

    /// Reads more of an answer.
    pub(crate) fn push(&mut self, text: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        text.chars().for_each(|c| self.read(c, &mut pieces));
        pieces
    }

    /// The answer ended. Where there was a call before, or had to be one, what was about to become one is no words.
    pub(crate) fn finish(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        if self.calls || self.bound {
            self.held.clear();
        } else if self.place != Place::Call {
            let held = std::mem::take(&mut self.held);
            self.words(&held, &mut pieces);
        } else if !self.told {
            self.let_go(&mut pieces);
        }
        pieces
    }

    fn read(&mut self, c: char, pieces: &mut Vec<Piece>) {
        match (self.style, self.place) {
            (_, Place::Call) => self.read_call(c, pieces),
            (CallStyle::Tagged, _) => self.read_tagged(c, pieces),
            (CallStyle::Bare, Place::Start) => self.read_start(c, pieces),
            (CallStyle::Bare, Place::Words) => self.words(c.encode_utf8(&mut [0; 4]), pieces),
        }
    }

    /// Holds back what may become a tag.
    fn read_tagged(&mut self, c: char, pieces: &mut Vec<Piece>) {
        self.held.push(c);
        if self.held.ends_with(OPEN) {
            let words = self.held.len() - OPEN.len();
            let before = self.held[..words].to_owned();
            self.words(&before, pieces);
            self.held.clear();
            return self.enter();
        }
        let kept = (1..OPEN.len()).rev().find(|n| self.held.ends_with(&OPEN[..*n])).unwrap_or(0);
        let words = self.held.len() - kept;
        if words > 0 {
            let before: String = self.held.drain(..words).collect();
            self.words(&before, pieces);
        }
    }

    fn read_start(&mut self, c: char, pieces: &mut Vec<Piece>) {
        self.held.push(c);
        if c == '{' {
            self.enter();
            self.scan(c, pieces);
        } else if !c.is_whitespace() {
            self.place = Place::Words;
            let held = std::mem::take(&mut self.held);
            self.words(&held, pieces);
        }
    }

    fn enter(&mut self) {
        self.place = Place::Call;
        self.scanner = Scanner::default();
        (self.told, self.tagged_calls) = (false, false);
    }

    fn read_call(&mut self, c: char, pieces: &mut Vec<Piece>) {
        if !self.told || self.scanner.is_outside() {
            self.held.push(c);
        }
        if self.style == CallStyle::Tagged && self.scanner.is_outside() {
            let tail = self.held.trim_start();
            if tail.ends_with(CLOSE) {
                self.held.clear();
                self.place = Place::Words;
                return;
            }
            // The closing tag is on its way.
            if let Some(at) = tail.rfind('<')
                && CLOSE.starts_with(&tail[at..])
            {
                return;
            }
        }
        self.scan(c, pieces);
    }

    fn scan(&mut self, c: char, pieces: &mut Vec<Piece>) {
        let mut found = Vec::new();
        self.scanner.read(c, &mut found);
        for one in found {
            match one {
                Found::Name(name) if self.style == CallStyle::Bare && !self.names.contains(&name) => {
                    return self.give_up(pieces);
                }
                Found::Name(name) => {
                    (self.told, self.tagged_calls, self.calls) = (true, true, true);
                    self.held.clear();
                    pieces.push(Piece::Call(name));
                }
                Found::Arguments(text) => match pieces.last_mut() {
                    Some(Piece::Arguments(last)) => last.push_str(&text),
                    _ => pieces.push(Piece::Arguments(text)),
                },
                Found::End => {
                    pieces.push(Piece::End);
                    self.told = false;
                    self.held.clear();
                }
                Found::Malformed => return self.give_up(pieces),
            }
        }
    }

    /// What was held is words; what was told cannot be taken back.
    fn give_up(&mut self, pieces: &mut Vec<Piece>) {
        self.place = Place::Words;
        if self.told {
            self.held.clear();
            pieces.push(Piece::Malformed);
        } else {
            self.let_go(pieces);
        }
    }

    /// What looked like a call until now is words, the tag before it too; behind a call it is a spoilt end, which says nothing.
    fn let_go(&mut self, pieces: &mut Vec<Piece>) {
        let held = std::mem::take(&mut self.held);
        match self.style {
            CallStyle::Tagged if self.tagged_calls => {}
            CallStyle::Tagged => self.words(&format!("{OPEN}{held}"), pieces),
            CallStyle::Bare => self.words(&held, pieces),
        }
    }

    fn words(&mut self, text: &str, pieces: &mut Vec<Piece>) {
        // Between calls and behind them there are line breaks, which say nothing.
        if text.is_empty() || self.calls && text.trim().is_empty() {
            return;
        }
        if self.place == Place::Start {
            self.place = Place::Words;
        }
        match pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ => pieces.push(Piece::Text(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn merged(pieces: Vec<Piece>) -> Vec<Piece> {
        let mut all: Vec<Piece> = Vec::new();
        for piece in pieces {
            match (all.last_mut(), piece) {
                (Some(Piece::Text(last)), Piece::Text(more)) => last.push_str(&more),
                (Some(Piece::Arguments(last)), Piece::Arguments(more)) => last.push_str(&more),
                (_, piece) => all.push(piece),
            }
        }
        all
    }

    fn read(style: CallStyle, parts: &[&str]) -> Vec<Piece> {
        read_by(CallParser::new(style, vec!["f".into(), "g".into()], false), parts)
    }

    fn read_by(mut parser: CallParser, parts: &[&str]) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = parts.iter().flat_map(|part| parser.push(part)).collect();
        pieces.extend(parser.finish());
        merged(pieces)
    }

    fn call(name: &str, arguments: &str) -> Vec<Piece> {
        vec![Piece::Call(name.into()), Piece::Arguments(arguments.into()), Piece::End]
    }

    const ONE: &str =
        "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"</tool_call>\"}}\n</tool_call>";

    #[test]
    fn tagged_calls_are_told_from_words() {
        let arguments = "{\"a\": \"</tool_call>\"}";
        assert_eq!(read(CallStyle::Tagged, &[ONE]), call("f", arguments));
        let both = format!("Let me see. {ONE}\n<tool_call>{{\"name\":\"g\"}}</tool_call>\n");
        let want = [vec![Piece::Text("Let me see. ".into())], call("f", arguments), call("g", "{}")].concat();
        assert_eq!(read(CallStyle::Tagged, &[&both]), want);
        let list =
            "<tool_call>[{\"name\":\"f\",\"arguments\":{}}, {\"name\":\"g\",\"arguments\":{}}]</tool_call>";
        assert_eq!(read(CallStyle::Tagged, &[list]), [call("f", "{}"), call("g", "{}")].concat());
    }

    #[test]
    fn words_stay_words() {
        for text in [
            "a < b <tool",
            "<tool_call",
            "<tool_call>",
            "<tool_call>{\"name",
            "<tool_call>not JSON",
            "{\"name\":\"f\",\"arguments\":{}}",
            "<tool_call>{}</tool_call> no",
        ] {
            assert_eq!(read(CallStyle::Tagged, &[text]), [Piece::Text(text.into())], "{text}");
        }
        for text in [
            "Hello {\"name\":\"f\"}",
            "{\"name\": \"h\", \"parameters\": {}}",
            "{\"x\": 1}",
            "{\"na",
            " \n hello",
        ] {
            assert_eq!(read(CallStyle::Bare, &[text]), [Piece::Text(text.into())], "{text}");
        }
        assert!(
            read(CallStyle::Tagged, &[""]).is_empty()
                && read(CallStyle::Bare, &[" "]) == [Piece::Text(" ".into())]
        );
    }

    #[test]
    fn bare_calls_are_those_of_functions_that_exist() {
        let text = " {\"name\": \"f\", \"parameters\": {\"a\": 1}}; {\"name\": \"g\", \"parameters\": {}}";
        assert_eq!(read(CallStyle::Bare, &[text]), [call("f", "{\"a\": 1}"), call("g", "{}")].concat());
    }

    #[test]
    fn a_call_that_breaks_off_or_is_broken() {
        let cut = read(CallStyle::Tagged, &["<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":"]);
        assert_eq!(cut, [Piece::Call("f".into()), Piece::Arguments("{\"a\":".into())]);
        let broken = read(CallStyle::Tagged, &["<tool_call>{\"name\":\"f\",\"arguments\":7}"]);
        assert_eq!(broken, [Piece::Call("f".into()), Piece::Malformed]);
        for second in ["<tool_", "<tool_call>\n", "<tool_call>{\"name\":"] {
            let cut = read(CallStyle::Tagged, &[ONE, second]);
            assert_eq!(cut, call("f", "{\"a\": \"</tool_call>\"}"), "{second}");
            let bound = CallParser::new(CallStyle::Tagged, vec!["f".into()], true);
            assert_eq!(read_by(bound, &[second]), [], "{second}");
        }
    }

    proptest! {
        /// However an answer is cut, it reads the same, and nothing panics.
        #[test]
        fn cutting_changes_nothing(
            parts in prop::collection::vec(prop::sample::select(vec![
                "<tool_call>", "</tool_call>", "{\"name\": \"f\"", ", \"arguments\": ", "{\"a\": [1, \"é}\"]}", "}", "\n", "words", "<", "{", "\"", "[", ",", "\\",
            ]), 0..14),
            cuts in prop::collection::vec(1usize..5, 0..80),
            bare in any::<bool>(),
        ) {
            let style = if bare { CallStyle::Bare } else { CallStyle::Tagged };
            let text: String = parts.concat();
            let chars: Vec<char> = text.chars().collect();
            let mut pieces: Vec<String> = Vec::new();
            let mut at = 0;
            for cut in cuts.iter().chain(std::iter::repeat(&2)) {
                if at >= chars.len() { break }
                let end = (at + cut).min(chars.len());
                pieces.push(chars[at..end].iter().collect());
                at = end;
            }
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            prop_assert_eq!(read(style, &pieces), read(style, &[&text]));
        }
    }
}
