//! Amounts in serde, `#[serde(with = "…::decimal")]`: decimal strings, since JSON numbers end long before 128
//! bits.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Writes an amount as a decimal string.
///
/// # Errors
/// When the serializer does.
pub fn serialize<S: Serializer>(amount: &u128, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(amount)
}

/// Reads an amount from a decimal string.
///
/// # Errors
/// When it is none.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

/// An amount inside a tuple.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Decimal(#[serde(with = "crate::decimal")] pub(crate) u128);
