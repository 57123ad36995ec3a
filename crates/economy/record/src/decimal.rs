//! Amounts in serde: decimal strings, since JSON numbers end long before 128 bits.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

pub(crate) fn serialize<S: Serializer>(amount: &u128, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(amount)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

/// An amount inside a tuple.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Decimal(#[serde(with = "crate::decimal")] pub(crate) u128);
