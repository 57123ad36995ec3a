//! Answers drawn at random from what a grammar allows.

use rand::{Rng, SeedableRng, rngs::StdRng};
use std::sync::{Arc, LazyLock};
use tributary_engine::{TokenConstraint, TokenMask};
use tributary_grammar::{GrammarError, Grammars, Shape};
use tributary_testkit::{EOS, VOCAB, model_folder};
use tributary_weights::{Model, Tokenizer};

pub(crate) static TOKENIZER: LazyLock<Arc<Tokenizer>> =
    LazyLock::new(|| Arc::clone(&Model::open(model_folder(7).unwrap().path()).unwrap().tokenizer));

pub(crate) static GRAMMARS: LazyLock<Grammars> = LazyLock::new(|| Grammars::new(&TOKENIZER).unwrap());

pub(crate) fn start(shape: &Shape) -> Result<Box<dyn TokenConstraint>, GrammarError> {
    Ok(GRAMMARS.compile(shape)?.constraint())
}

/// Takes a token; whether the answer is complete with it.
pub(crate) fn commit(grammar: &mut Box<dyn TokenConstraint>, token: u32) -> Result<bool, String> {
    grammar.commit(token)?;
    Ok(grammar.is_finished())
}

/// One answer, of so many tokens at most; None when it has not ended by then.
pub(crate) fn walk(shape: &Shape, seed: u64, most: usize) -> Option<String> {
    let mut grammar = start(shape).unwrap();
    let (mut mask, mut noise, mut answer) = (TokenMask::default(), StdRng::seed_from_u64(seed), Vec::new());
    for _ in 0..most {
        mask.reset(VOCAB);
        grammar.mask(&mut mask).unwrap();
        let allowed: Vec<u32> = (0..VOCAB).filter(|token| mask.contains(*token)).collect();
        assert!(!allowed.is_empty(), "a dead end after {:?}", TOKENIZER.decode(&answer));
        let token = allowed[noise.random_range(0..allowed.len())];
        if token == EOS {
            return Some(TOKENIZER.decode(&answer));
        }
        answer.push(token);
        if commit(&mut grammar, token).unwrap() {
            return Some(TOKENIZER.decode(&answer));
        }
    }
    None
}

/// Whether a text is one that the grammar allows, whole.
pub(crate) fn accepts(shape: &Shape, text: &str) -> bool {
    allows(start(shape).unwrap(), text)
}

/// The same of a grammar at its beginning.
pub(crate) fn allows(mut grammar: Box<dyn TokenConstraint>, text: &str) -> bool {
    let mut mask = TokenMask::default();
    let tokens = TOKENIZER.encode(text).unwrap();
    for (at, token) in tokens.iter().enumerate() {
        mask.reset(VOCAB);
        grammar.mask(&mut mask).unwrap();
        if !mask.contains(*token) {
            return false;
        }
        if commit(&mut grammar, *token).unwrap() {
            return at + 1 == tokens.len();
        }
    }
    mask.reset(VOCAB);
    grammar.mask(&mut mask).unwrap();
    mask.contains(EOS)
}
