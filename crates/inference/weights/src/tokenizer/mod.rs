//! Text to tokens and back: byte-level BPE.
//!
//! Both sources, GGUF metadata and `tokenizer.json`, become the same [`Vocabulary`], so one model has one
//! `tokenizerHash` and one behaviour whichever file it came from.

mod bytes;
mod detokenizer;
mod encoder;
mod vocabulary;

pub use detokenizer::Detokenizer;
pub use encoder::Tokenizer;
pub use vocabulary::PreTokenizer;

pub(crate) use vocabulary::{Kind, Vocabulary, from_gguf};
