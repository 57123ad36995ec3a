//! The trainer on a tiny model, the dictionaries, and the shipped adapters.

mod dictionaries;
mod quality;
mod tiny;
mod training;
