//! From a shape to a grammar, within bounds.

use crate::{
    Calls, Shape,
    constraint::{Place, short},
    vocabulary::vocabulary,
};
use alloy_primitives::B256;
use llguidance::{Matcher, ParserFactory, api::ParserLimits, earley::SlicedBiasComputer};
use std::{fmt, sync::Arc};
use toktrie::InferenceCapabilities;
use tributary_engine::{Grammar, TokenConstraint};
use tributary_weights::Tokenizer;

/// Bytes of a grammar's text.
const MAX_TEXT: usize = 64 * 1024;
/// Alternatives of a choice.
const MAX_CHOICES: usize = 1024;

/// Why a shape is no grammar here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrammarError {
    /// Too much of it.
    #[error("the grammar is too large: {0}")]
    TooLarge(&'static str),
    /// Not a grammar, or one that asks for what is not supported, or one that takes too much work.
    #[error("{0}")]
    Invalid(String),
    /// The model cannot be bound by grammars.
    #[error("the model has no token that ends an answer")]
    NoEnd,
}

/// Compiles grammars for one tokenizer.
pub struct Grammars {
    factory: ParserFactory,
}

impl fmt::Debug for Grammars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammars").finish_non_exhaustive()
    }
}

/// A grammar at its beginning, for any number of answers.
#[derive(Clone)]
pub struct Compiled {
    hash: B256,
    matcher: Arc<Matcher>,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Compiled").field(&self.hash).finish()
    }
}

/// Steps are counted, not timed. A mask costs every running answer what it takes: five milliseconds at most with a vocabulary of 49,152.
fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 500,
        initial_lexer_fuel: 500_000,
        step_lexer_fuel: 100_000,
        step_max_items: 10_000,
        max_lexer_states: 20_000,
        max_grammar_size: 100_000,
        precompute_large_lexemes: false,
        verbose_errors: false,
    }
}

impl Grammars {
    /// For a model's tokenizer.
    pub fn new(tokenizer: &Tokenizer) -> Result<Self, GrammarError> {
        let vocabulary = vocabulary(tokenizer).ok_or(GrammarError::NoEnd)?;
        let slices = SlicedBiasComputer::general_slices();
        let capabilities = InferenceCapabilities::default();
        let mut factory = ParserFactory::new(&vocabulary, capabilities, &slices)
            .map_err(|error| GrammarError::Invalid(short(error)))?;
        *factory.limits_mut() = limits();
        factory.quiet();
        Ok(Self { factory })
    }

    /// Compiles a shape. Takes up to some hundred milliseconds: not for a thread that others wait for.
    pub fn compile(&self, shape: &Shape) -> Result<Compiled, GrammarError> {
        if shape.text().len() > MAX_TEXT {
            return Err(GrammarError::TooLarge("its text exceeds 64 KiB"));
        }
        if let Shape::Choice(choices) = shape {
            match choices.len() {
                0 => return Err(GrammarError::Invalid("a choice needs something to choose from".into())),
                1..=MAX_CHOICES => {}
                _ => return Err(GrammarError::TooLarge("a choice of more than 1,024")),
            }
        }
        if let Shape::Calls(Calls { functions, or, .. }) = shape {
            if functions.is_empty() {
                return Err(GrammarError::Invalid("there is no function to call".into()));
            }
            if functions.len() > MAX_CHOICES {
                return Err(GrammarError::TooLarge("more than 1,024 functions"));
            }
            if functions.iter().any(|(_, schema)| !schema.is_object())
                || matches!(or.as_deref(), Some(Shape::JsonSchema(schema)) if !schema.is_object())
            {
                return Err(GrammarError::Invalid("a schema has to be an object".into()));
            }
            if matches!(or.as_deref(), Some(Shape::Lark(_) | Shape::Calls(_))) {
                return Err(GrammarError::Invalid(
                    "a grammar of its own and calls exclude each other".into(),
                ));
            }
        }
        let parser = self.factory.create_parser(shape.grammar());
        let matcher = Matcher::new(parser);
        if let Some(error) = matcher.get_error() {
            return Err(GrammarError::Invalid(short(error)));
        }
        Ok(Compiled { hash: shape.hash(), matcher: Arc::new(matcher) })
    }
}

impl Compiled {
    /// The grammar for one answer, which shares nothing with the others.
    pub fn start(&self) -> Grammar {
        Grammar::new(self.hash, self.constraint())
    }

    /// The same without its hash.
    pub fn constraint(&self) -> Box<dyn TokenConstraint> {
        Box::new(Place(self.matcher.deep_clone()))
    }
}
