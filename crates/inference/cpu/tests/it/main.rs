//! Integration tests: whole forward passes against the definition, batches against each row alone, floats.

mod adapters;
mod batches;
mod contract;
mod formats;
mod forward;
mod model;
#[path = "../../oracle/mod.rs"]
mod oracle;
mod peft;
mod perplexity;
