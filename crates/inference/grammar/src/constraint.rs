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

/// The first line: what follows is the grammar and the parser's state.
pub(crate) fn short(error: impl std::fmt::Display) -> String {
    let text = format!("{error:#}");
    text.lines().next().unwrap_or_default().chars().take(300).collect()
}
