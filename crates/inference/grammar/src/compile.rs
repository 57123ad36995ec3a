//! From a shape to a grammar, within bounds.

use crate::{
    Calls, Shape,
    choice::{Choices, Chosen},
    constraint::{Place, short},
    vocabulary::vocabulary,
};
use alloy_primitives::B256;
use llguidance::{
    Logger, Matcher, ParserFactory,
    api::{GrammarInit, ParserLimits},
    earley::SlicedBiasComputer,
};
use std::{fmt, sync::Arc};
use toktrie::InferenceCapabilities;
use tributary_engine::{Grammar, TokenConstraint};
use tributary_weights::Tokenizer;

/// Bytes of a grammar's text.
const MAX_TEXT: usize = 64 * 1024;
/// Bytes of all that a choice is between: 200 for each and some more.
const MAX_CHOICES_TEXT: usize = 256 * 1024;
/// Alternatives of a choice.
const MAX_CHOICES: usize = 1024;

/// Items of a parser's row. An alternative is one or some: a schema may have as many simple ones as a choice.
const MAX_ROW: usize = 1100;
/// In a client's own grammar each may take steps within every token.
const MAX_ROW_OF_LARK: usize = 500;

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
    beginning: Beginning,
}

#[derive(Clone)]
enum Beginning {
    Parser(Arc<Matcher>),
    Choices(Arc<Choices>),
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Compiled").field(&self.hash).finish()
    }
}

/// Steps are counted, not timed. A mask costs every running answer what it takes: some milliseconds with a vocabulary of 49,152, 14 for
/// the widest schemas that were tried.
fn limits(shape: &Shape) -> ParserLimits {
    ParserLimits {
        max_items_in_row: if matches!(shape, Shape::Lark(_)) { MAX_ROW_OF_LARK } else { MAX_ROW },
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
        let factory = ParserFactory::new(&vocabulary, capabilities, &slices)
            .map_err(|error| GrammarError::Invalid(short(error)))?;
        Ok(Self { factory })
    }

    /// Compiles a shape. Takes up to some hundred milliseconds: not for a thread that others wait for.
    pub fn compile(&self, shape: &Shape) -> Result<Compiled, GrammarError> {
        check(shape)?;
        let beginning = match shape {
            Shape::Choice(choices) => {
                Beginning::Choices(Arc::new(Choices::new(choices, self.factory.tok_env().clone())))
            }
            shape => Beginning::Parser(Arc::new(self.parser(shape)?)),
        };
        Ok(Compiled { hash: shape.hash(), beginning })
    }

    fn parser(&self, shape: &Shape) -> Result<Matcher, GrammarError> {
        let (grammar, quiet) = (GrammarInit::Serialized(shape.grammar()), Logger::new(0, 0));
        let parser = self
            .factory
            .create_parser_from_init_ext(grammar, quiet, InferenceCapabilities::default(), limits(shape))
            .map_err(|error| invalid(shape, error))?;
        let matcher = Matcher::new(Ok(parser));
        if let Some(error) = matcher.get_error() {
            return Err(invalid(shape, error));
        }
        // Where no text fits, or too much is possible at once, nothing could be said: better now than in the middle of an answer.
        match matcher.deep_clone().compute_mask_or_eos() {
            Ok(_) => Ok(matcher),
            Err(error) => Err(invalid(shape, error)),
        }
    }
}

/// Refuses what is too much of it, and what cannot be meant.
fn check(shape: &Shape) -> Result<(), GrammarError> {
    if let Shape::Choice(choices) = shape {
        return check_choices(choices);
    }
    if shape.text().len() > MAX_TEXT {
        return Err(GrammarError::TooLarge("its text exceeds 64 KiB"));
    }
    if let Shape::Calls(calls) = shape { check_calls(calls) } else { Ok(()) }
}

fn check_choices(choices: &[String]) -> Result<(), GrammarError> {
    if choices.is_empty() {
        return Err(GrammarError::Invalid("a choice needs something to choose from".into()));
    }
    if choices.len() > MAX_CHOICES {
        return Err(GrammarError::TooLarge("a choice of more than 1,024"));
    }
    if choices.iter().map(String::len).sum::<usize>() > MAX_CHOICES_TEXT {
        return Err(GrammarError::TooLarge("the texts of a choice exceed 256 KiB"));
    }
    Ok(())
}

fn check_calls(Calls { functions, or, .. }: &Calls) -> Result<(), GrammarError> {
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
    match or.as_deref() {
        Some(Shape::Lark(_) | Shape::Calls(_)) => {
            Err(GrammarError::Invalid("a grammar of its own and calls exclude each other".into()))
        }
        Some(Shape::Choice(choices)) => check_choices(choices),
        _ => Ok(()),
    }
}

/// How the parser says that no token may come first.
const NO_TEXT: &str = "NoExtensionBias";

/// Why a shape is none. Where in its Lark concerns only who wrote that.
fn invalid(shape: &Shape, error: impl fmt::Display) -> GrammarError {
    let text = short(error);
    if text.contains(NO_TEXT) {
        return GrammarError::Invalid("there is no text that fits it".into());
    }
    let place = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'(');
    let reason = match text.strip_prefix("at ").and_then(|rest| rest.split_once("): ")) {
        Some((at, reason)) if place(at) && !matches!(shape, Shape::Lark(_)) => reason,
        _ => &text,
    };
    // What llama.cpp and other servers take begins like this.
    let hint = match shape {
        Shape::Lark(text) if text.contains("::=") => {
            " (grammars are written in Lark here, not in GBNF or EBNF)"
        }
        _ => "",
    };
    GrammarError::Invalid(format!("{reason}{hint}"))
}

impl Compiled {
    /// The grammar for one answer, which shares nothing with the others.
    pub fn start(&self) -> Grammar {
        Grammar::new(self.hash, self.constraint())
    }

    /// The same without its hash.
    pub fn constraint(&self) -> Box<dyn TokenConstraint> {
        match &self.beginning {
            Beginning::Parser(matcher) => Box::new(Place(matcher.deep_clone())),
            Beginning::Choices(choices) => Box::new(Chosen::new(choices)),
        }
    }
}
