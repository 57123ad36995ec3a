//! The engine over the deterministic CPU backend and a tiny model.

mod adapters;
mod answers;
mod choosing;
mod drafts;
mod drafts_source;
mod equality;
mod failures;
mod grammar;
mod kept;
mod memory;
mod prefix;
mod prompt;
mod record;
mod schedules;
mod several;
mod soak;
mod tiny;
mod toy;
mod verify;
