//! What is trained on: documents, and the dictionaries they are read from.
//!
//! ```text
//! /usr/share/dictd/NAME.{index,dict.dz} → dictd::Dictionary → clean → Document ─┬→ training answers
//!                                                                               └→ contributions to a datanet
//! ```
//!
//! The text of a [`Document`] is the same string everywhere: it is what a contributor puts on chain, what the adapter
//! is taught to answer, and what attribution finds again in an answer.

mod clean;
pub mod dictd;
mod document;
mod selection;

pub use clean::Source;
pub(crate) use document::capitalised;
pub use document::{Document, deal, read_jsonl, write_jsonl};
pub use selection::{LengthRange, Selection, candidates};
