//! The endpoints.

mod adapters;
mod chat;
mod completions;
mod embeddings;
mod models;
mod operations;
mod tokens;

pub(crate) use adapters::{load_adapter, unload_adapter};
pub(crate) use chat::{chat_completions, tools_and_shape};
pub(crate) use completions::{DEFAULT_MAX_TOKENS, completions, prompts};
pub(crate) use embeddings::embeddings;
pub(crate) use models::{list_models, show_model};
pub(crate) use operations::{health, metrics, version};
pub(crate) use tokens::{detokenize, tokenize};
