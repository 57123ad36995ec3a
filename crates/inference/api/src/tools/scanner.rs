//! Reads calls out of JSON as it comes, character by character: the name when it is complete, the arguments as they are written.

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A call's function.
    Name(String),
    /// More of its arguments' JSON.
    Arguments(String),
    /// The call's end.
    End,
    /// This is no call.
    Malformed,
}

/// Reads one call after another: objects with `name` and `arguments` or `parameters`, in a list or not.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    place: Place,
    key: String,
    /// The value of a field that is needed whole.
    value: String,
    kind: Kind,
    nested: usize,
    in_string: bool,
    escaped: bool,
    named: bool,
    /// Arguments that came before the name.
    early: String,
    arguments: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Between calls.
    #[default]
    Outside,
    /// Before a field's name.
    Field,
    /// In it.
    Name,
    /// Before the colon.
    Colon,
    /// Before a field's value.
    Before,
    /// In it.
    Value,
    /// Behind it.
    After,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Scalar,
    Text,
    Nested,
}

impl Scanner {
    /// Whether it stands between calls.
    pub(crate) fn is_outside(&self) -> bool {
        self.place == Place::Outside
    }

    fn is_arguments(&self) -> bool {
        self.key == "arguments" || self.key == "parameters"
    }

    /// Reads a character.
    pub(crate) fn read(&mut self, c: char, found: &mut Vec<Found>) {
        match self.place {
            Place::Outside if c == '{' => *self = Self { place: Place::Field, ..Self::default() },
            Place::Outside if c.is_whitespace() || matches!(c, ',' | ';' | '[' | ']') => {}
            Place::Field | Place::Colon | Place::Before | Place::After if c.is_whitespace() => {}
            Place::Field if c == '"' => {
                self.key.clear();
                self.place = Place::Name;
            }
            Place::Field | Place::After if c == '}' => self.end(found),
            Place::After if c == ',' => self.place = Place::Field,
            Place::Name if c == '"' => self.place = Place::Colon,
            // Names with escapes are none that matter.
            Place::Name if self.key.len() < 64 => self.key.push(c),
            Place::Name => {}
            Place::Colon if c == ':' => self.place = Place::Before,
            Place::Before => self.begin(c, found),
            Place::Value => self.go_on(c, found),
            _ => found.push(Found::Malformed),
        }
    }

    fn begin(&mut self, c: char, found: &mut Vec<Found>) {
        self.kind = match c {
            '"' => Kind::Text,
            '{' | '[' => Kind::Nested,
            ',' | '}' | ']' | ':' => return found.push(Found::Malformed),
            _ => Kind::Scalar,
        };
        (self.nested, self.in_string, self.escaped) = (usize::from(self.kind == Kind::Nested), false, false);
        self.value.clear();
        self.place = Place::Value;
        self.keep(c, found);
    }

    fn go_on(&mut self, c: char, found: &mut Vec<Found>) {
        if self.kind == Kind::Scalar && (c.is_whitespace() || matches!(c, ',' | '}')) {
            self.finish(found);
            return self.read(c, found);
        }
        self.keep(c, found);
        if self.escaped {
            self.escaped = false;
            return;
        }
        let text = self.in_string || self.kind == Kind::Text;
        match c {
            '\\' if text => self.escaped = true,
            '"' if self.kind == Kind::Text => self.finish(found),
            '"' => self.in_string = !self.in_string,
            '{' | '[' if !text => self.nested += 1,
            '}' | ']' if !text && self.kind == Kind::Nested => {
                self.nested -= 1;
                if self.nested == 0 {
                    self.finish(found);
                }
            }
            _ => {}
        }
    }

    /// Arguments go out as they come; what they have to be decoded for, or is needed whole, is kept.
    fn keep(&mut self, c: char, found: &mut Vec<Found>) {
        if self.is_arguments() && self.kind == Kind::Nested {
            self.give(c.encode_utf8(&mut [0; 4]), found);
        } else if self.is_arguments() || self.key == "name" {
            self.value.push(c);
        }
    }

    fn give(&mut self, text: &str, found: &mut Vec<Found>) {
        self.arguments = true;
        if !self.named {
            self.early.push_str(text);
        } else if let Some(Found::Arguments(last)) = found.last_mut() {
            last.push_str(text);
        } else {
            found.push(Found::Arguments(text.to_owned()));
        }
    }

    /// A field's value is complete.
    fn finish(&mut self, found: &mut Vec<Found>) {
        self.place = Place::After;
        if self.key == "name" {
            match serde_json::from_str(&self.value) {
                Ok(name) if !self.named => {
                    self.named = true;
                    found.push(Found::Name(name));
                    let early = std::mem::take(&mut self.early);
                    if !early.is_empty() {
                        found.push(Found::Arguments(early));
                    }
                }
                _ => found.push(Found::Malformed),
            }
        } else if self.is_arguments() && self.kind != Kind::Nested {
            // Some models write the arguments' JSON as a string; null stands for none.
            match serde_json::from_str::<serde_json::Value>(&self.value) {
                Ok(serde_json::Value::String(text)) => self.give(&text, found),
                Ok(serde_json::Value::Null) => {}
                _ => found.push(Found::Malformed),
            }
        }
    }

    fn end(&mut self, found: &mut Vec<Found>) {
        if !self.named {
            found.push(Found::Malformed);
            return;
        }
        if !self.arguments {
            found.push(Found::Arguments("{}".to_owned()));
        }
        found.push(Found::End);
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Found> {
        let (mut scanner, mut found) = (Scanner::default(), Vec::new());
        text.chars().for_each(|c| scanner.read(c, &mut found));
        found
    }

    fn call(name: &str, arguments: &str) -> [Found; 3] {
        [Found::Name(name.into()), Found::Arguments(arguments.into()), Found::End]
    }

    #[test]
    fn calls_in_every_order_and_form() {
        let arguments = r#"{"a": "}\"]{", "b": [1, {"c": null}]}"#;
        assert_eq!(read(&format!(r#"{{"name": "f", "arguments": {arguments}}}"#)), call("f", arguments));
        assert_eq!(read(&format!(r#" {{"parameters":{arguments} , "name":"f"}}"#)), call("f", arguments));
        assert_eq!(read(r#"{"name":"f","arguments":"{\"a\":1}"}"#), call("f", r#"{"a":1}"#));
        assert_eq!(read(r#"{"name":"f"}"#), call("f", "{}"));
        assert_eq!(read(r#"{"name":"f","arguments":null}"#), call("f", "{}"));
        assert_eq!(
            read(r#"{"id": 7, "more": {"name": "x"}, "name": "f\u00e9", "n": 1.5e3}"#),
            call("fé", "{}")
        );
        let two = [call("f", "{}"), call("g", "[]")].concat();
        assert_eq!(read(r#"[{"name":"f","arguments":{}}, {"name":"g","arguments":[]}]"#), two);
    }

    #[test]
    fn what_is_no_call_is_said_so() {
        for text in [
            "x",
            "{x",
            "{\"a\" 1}",
            "{}",
            "{\"arguments\":{}}",
            "{\"name\":7}",
            "{\"name\":}",
            "{\"name\":\"f\" \"g\"}",
            "{\"name\":\"f\",\"name\":\"g\"}",
            "{\"name\":\"f\",\"arguments\":7}",
        ] {
            assert!(read(text).contains(&Found::Malformed), "{text}");
        }
    }

    #[test]
    fn arguments_come_as_they_are_written() {
        let (mut scanner, mut found) = (Scanner::default(), Vec::new());
        r#"{"name": "f", "arguments": {"a"#.chars().for_each(|c| scanner.read(c, &mut found));
        assert_eq!(found, [Found::Name("f".into()), Found::Arguments("{\"a".into())]);
        assert!(!scanner.is_outside());
    }
}
