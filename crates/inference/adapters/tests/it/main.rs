//! Adapters as strangers publish them: parsed, fetched, kept.

mod fetching;
mod parsing;
mod residency;
