//! Decoding token by token.

use super::Tokenizer;

/// Gives out text as soon as it is whole characters: a token may end inside one.
#[derive(Debug)]
pub struct Detokenizer<'a> {
    tokenizer: &'a Tokenizer,
    pending: Vec<u8>,
}

impl<'a> Detokenizer<'a> {
    pub(super) const fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, pending: Vec::new() }
    }

    /// The text that a further token completes, possibly empty. Control tokens give none.
    pub fn push(&mut self, id: u32) -> String {
        if !self.tokenizer.is_control(id) {
            self.pending.extend_from_slice(self.tokenizer.token_bytes(id).unwrap_or_default());
        }
        let whole = self.pending.len() - unfinished(&self.pending);
        let rest = self.pending.split_off(whole);
        lossy(std::mem::replace(&mut self.pending, rest))
    }

    /// What is left at the end: an unfinished character as U+FFFD.
    pub fn finish(self) -> String {
        lossy(self.pending)
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Length of a valid but unfinished character at the end.
fn unfinished(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(_) => 0,
        Err(_) => {
            let tail = &bytes[bytes.len().saturating_sub(3)..];
            (0..tail.len())
                .map(|skip| &tail[skip..])
                .find(|rest| {
                    std::str::from_utf8(rest).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
                })
                .map_or(0, <[u8]>::len)
        }
    }
}
