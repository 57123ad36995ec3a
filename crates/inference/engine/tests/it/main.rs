//! The engine over the deterministic CPU backend and a tiny model.

mod adapters;
mod answers;
mod equality;
mod failures;
mod grammar;
mod record;
mod tiny;
