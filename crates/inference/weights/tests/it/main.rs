//! Integration tests: files good and bad, the default model's tokenizer and template.

mod chat;
mod gguf;
mod huggingface;
mod model;
mod tokenizer;
mod writer;
