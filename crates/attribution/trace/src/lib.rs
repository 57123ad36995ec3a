#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod display;
mod naive;
mod spans;
mod trace;

pub use naive::{Corpus, CorpusDocument};
pub use spans::join;
pub use trace::{SourceOf, Trace, Windows, trace, trace_within};
