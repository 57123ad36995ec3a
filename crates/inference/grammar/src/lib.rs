#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod choice;
mod compile;
mod constraint;
mod shape;
mod vocabulary;

pub use compile::{Compiled, GrammarError, Grammars};
pub use shape::{CallStyle, Calls, Shape};
