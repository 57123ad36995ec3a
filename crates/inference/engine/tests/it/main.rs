//! The engine over the deterministic CPU backend and a tiny model.

mod adapters;
mod answers;
mod equality;
mod failures;
mod record;
mod tiny;
