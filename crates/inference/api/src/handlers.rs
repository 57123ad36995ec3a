//! The endpoints.

mod chat;
mod completions;
mod models;
mod operations;
mod tokens;

pub(crate) use chat::chat_completions;
pub(crate) use completions::completions;
pub(crate) use models::{list_models, show_model};
pub(crate) use operations::{health, metrics, version};
pub(crate) use tokens::{detokenize, tokenize};
