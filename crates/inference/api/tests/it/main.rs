//! The API over HTTP: a tiny model on the deterministic CPU backend, a real socket, a real client.

mod adapters;
mod administration;
mod chat;
mod completions;
mod connections;
mod embeddings;
mod errors;
mod operations;
mod payment;
mod replay;
mod server;
mod structured;
mod tools;
