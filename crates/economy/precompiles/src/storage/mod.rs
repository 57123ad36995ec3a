//! Storage as Solidity lays it out: slots, packed fields, mappings, texts and versioned lists.

mod field;
mod text;
pub(crate) mod versioned;

pub(crate) use field::{Field, Slot, low_u128, to_address};
