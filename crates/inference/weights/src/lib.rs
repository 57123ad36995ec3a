#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod chat;
mod config;
mod error;
mod format;
mod hash;
mod huggingface;
mod matrix;
mod model;
mod pull;
mod tokenizer;

pub mod gguf;

pub use chat::{ChatInput, ChatTemplate};
pub use config::{Architecture, Config};
pub use error::{Severity, WeightsError};
pub use format::Format;
pub use matrix::Matrix;
pub use model::{Hashes, Layer, Model, TensorRef, Weights};
pub use pull::{
    DEFAULT_MODEL, EMBEDDING_MODEL, KNOWN_MODELS, KnownFile, KnownModel, PullError, cache_dir, pull,
};
pub use tokenizer::{Detokenizer, PreTokenizer, Tokenizer};
