//! Guessing what comes next, cheaply: by looking it up.
//!
//! ```text
//! tokens so far ─► Lookup (this sequence's own n-grams) ──┐
//!                  DraftSource (a text that is quoted) ───┴─► draft ─► one row of several tokens ─► choose at each
//!                        Pace: how long, and whether at all ◄── how many of them were chosen ◄──────────┘
//! ```
//! A draft changes no bit of an answer. Its tokens run through the same kernels as one row, a token is chosen at each position from
//! that position's logits as it would have been, and the row counts as far as the choices agree with the draft.

mod lookup;
mod pace;

pub(crate) use lookup::Lookup;
pub(crate) use pace::Pace;

use std::fmt;

/// A text that answers may quote. Called on the engine thread between steps.
pub trait DraftSource: Send + Sync + fmt::Debug {
    /// Appends to `draft` what follows the end of `context` in the text, at most `most` tokens. How many tokens at the end of
    /// `context` agree with the text there; 0, and nothing appended, when it is not found.
    fn draft(&self, context: &[u32], most: usize, draft: &mut Vec<u32>) -> usize;
}
