//! The trainer on a tiny model, the dictionaries, and the shipped adapters.

mod dictionaries;
mod tiny;
mod training;
