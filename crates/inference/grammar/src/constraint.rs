//! One answer's place in its grammar.

use llguidance::Matcher;
use tributary_engine::{TokenConstraint, TokenMask};

pub(crate) struct Place(pub(crate) Matcher);

impl TokenConstraint for Place {
    fn mask(&mut self, allowed: &mut TokenMask) -> Result<(), String> {
        let mask = self.0.compute_mask_or_eos().map_err(short)?;
        allowed.allow_words(mask.as_slice());
        Ok(())
    }

    fn commit(&mut self, token: u32) -> Result<(), String> {
        self.0.consume_token(token).map_err(short)
    }

    fn is_finished(&self) -> bool {
        self.0.is_stopped()
    }
}

/// Characters of what an error says first, and of the reason it gives.
const MAX_SAID: usize = 200;

/// What an error says first, and why if a regular expression is at fault. The other lines are the grammar and the parser's state.
pub(crate) fn short(error: impl std::fmt::Display) -> String {
    let text = format!("{error:#}");
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    if first.starts_with("panic: ") {
        return "the grammar engine failed".to_owned();
    }
    match lines.find_map(|line| line.strip_prefix("error: ")) {
        Some(reason) => format!("{}: {}", cut(first.trim_end_matches(':')), cut(reason)),
        None => cut(first),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_SAID) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
