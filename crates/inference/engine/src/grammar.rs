//! A grammar that an answer follows, as sampling sees it: which tokens may come next.
//!
//! ```text
//! mask ─► choose ─► commit ─► mask ─► …        is_finished ─► the answer ends
//! ```
//! What a grammar means is decided outside of this crate; here it is a set of tokens before each choice, and a hash
//! in the record. The engine never steps back: a token is committed once, when it is chosen.

use alloy_primitives::B256;
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// What computes masks, with its version and what is added to it here: part of the profile and of every grammar's hash, for another one may
/// allow other tokens.
pub const GRAMMAR_ENGINE: &str = "llguidance 1.9.1, spaces 1";

/// The state of one answer's grammar. Called on the engine thread between steps, so it has to be quick: what it takes,
/// every running answer waits for. One that errs or panics fails its own request.
pub trait TokenConstraint: Send {
    /// Allows what may come next in `allowed`, which comes empty: tokens of text, and a stop token where the answer
    /// may end.
    fn mask(&mut self, allowed: &mut TokenMask) -> Result<(), String>;

    /// Takes the token that was chosen, one of those allowed. The stop token that ends an answer is not among them.
    fn commit(&mut self, token: u32) -> Result<(), String>;

    /// Whether the text is complete and nothing can follow: the answer ends, before `min_tokens` too.
    fn is_finished(&self) -> bool;
}

/// A grammar with what stands for it in the record.
pub struct Grammar {
    hash: B256,
    constraint: Box<dyn TokenConstraint>,
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Grammar").field(&self.hash).finish()
    }
}

impl Grammar {
    /// A grammar at its beginning. `hash` commits to the grammar's kind and text; it is a field of the execution hash.
    pub fn new(hash: B256, constraint: Box<dyn TokenConstraint>) -> Self {
        Self { hash, constraint }
    }

    /// What stands for it in the record.
    pub const fn hash(&self) -> B256 {
        self.hash
    }

    pub(crate) fn mask(&mut self, allowed: &mut TokenMask) -> Result<(), String> {
        guard(|| self.constraint.mask(allowed))
    }

    /// Takes a chosen token; whether the text is complete with it.
    pub(crate) fn commit(&mut self, token: u32) -> Result<bool, String> {
        guard(|| self.constraint.commit(token).map(|()| self.constraint.is_finished()))
    }
}

/// A constraint is built from what a client wrote: it must not take the engine thread with it.
fn guard<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err("the grammar panicked".to_owned()))
}

/// A set of tokens: bit `t % 32` of word `t / 32`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenMask {
    words: Vec<u32>,
    vocab: u32,
}

impl TokenMask {
    /// Empties it, with room for a vocabulary.
    pub fn reset(&mut self, vocab: u32) {
        self.words.clear();
        self.words.resize(vocab.div_ceil(32) as usize, 0);
        self.vocab = vocab;
    }

    /// Tokens there are.
    pub const fn vocab(&self) -> u32 {
        self.vocab
    }

    /// Allows a token; one beyond the vocabulary changes nothing.
    pub fn allow(&mut self, token: u32) {
        if token < self.vocab
            && let Some(word) = self.words.get_mut(token as usize / 32)
        {
            *word |= 1 << (token % 32);
        }
    }

    /// Allows every token whose bit is set, in this type's order of bits. Words beyond the vocabulary are dropped.
    pub fn allow_words(&mut self, words: &[u32]) {
        for (mine, theirs) in self.words.iter_mut().zip(words) {
            *mine |= theirs;
        }
        let tail = self.vocab % 32;
        if tail != 0
            && let Some(last) = self.words.last_mut()
        {
            *last &= (1 << tail) - 1;
        }
    }

    /// Takes a token out.
    pub fn forbid(&mut self, token: u32) {
        if let Some(word) = self.words.get_mut(token as usize / 32) {
            *word &= !(1 << (token % 32));
        }
    }

    /// Whether a token is in the set.
    pub fn contains(&self, token: u32) -> bool {
        self.words.get(token as usize / 32).is_some_and(|word| word >> (token % 32) & 1 == 1)
    }

    /// Whether no token is in the set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_mask_is_a_set(
            vocab in 1u32..100,
            words in prop::collection::vec(any::<u32>(), 0..6),
            edits in prop::collection::vec((0u32..120, any::<bool>()), 0..60),
        ) {
            let mut mask = TokenMask::default();
            mask.reset(vocab);
            mask.allow_words(&words);
            let set = |token: &u32| words.get(*token as usize / 32).is_some_and(|w| w >> (token % 32) & 1 == 1);
            let mut model: BTreeSet<u32> = (0..vocab).filter(set).collect();
            for (token, allow) in edits {
                if allow && token < vocab {
                    model.insert(token);
                    mask.allow(token);
                } else if allow {
                    mask.allow(token);
                } else {
                    model.remove(&token);
                    mask.forbid(token);
                }
            }
            let held: BTreeSet<u32> = (0..200).filter(|token| mask.contains(*token)).collect();
            prop_assert_eq!(mask.is_empty(), model.is_empty());
            prop_assert_eq!(held, model);
            mask.reset(vocab);
            prop_assert!(mask.is_empty());
        }
    }
}
