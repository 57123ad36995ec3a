//! When the economy's precompiles awake, and who governs them.

use alloy_primitives::Address;
use serde::Deserialize;

use crate::SpecError;

/// The economy's part of the chain configuration: `economyTime`, `disputesTime` and the `tributary` section.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EconomyForks {
    /// From this time on the precompiles answer; `None`: never.
    pub economy_time: Option<u64>,
    /// From this time on the dispute table of the Attribution precompile answers; `None`: never.
    pub disputes_time: Option<u64>,
    /// The only account that may change parameters.
    pub governor: Address,
    /// A dev chain: short windows and the embedded data-availability store are allowed.
    pub dev: bool,
}

/// `config.tributary` as it is written in the genesis file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TributarySection {
    governor: Address,
    #[serde(default)]
    dev: bool,
}

impl EconomyForks {
    pub(crate) fn from_config(
        economy_time: Option<u64>,
        disputes_time: Option<u64>,
        section: Option<&serde_json::Value>,
    ) -> Result<Self, SpecError> {
        let bad = |key: &str, reason: &str| SpecError::BadValue { key: key.into(), reason: reason.into() };
        let section: Option<TributarySection> = section
            .map(|value| TributarySection::deserialize(value).map_err(|e| bad("tributary", &e.to_string())))
            .transpose()?;
        let Some(economy) = economy_time else {
            return match disputes_time {
                Some(_) => Err(bad("disputesTime", "needs economyTime")),
                None => Ok(Self { dev: section.is_some_and(|s| s.dev), ..Self::default() }),
            };
        };
        let section = section.ok_or_else(|| bad("tributary", "missing, and economyTime is set"))?;
        if section.governor.is_zero() {
            return Err(bad("tributary.governor", "is the zero address"));
        }
        if disputes_time.is_some_and(|disputes| disputes < economy) {
            return Err(bad("disputesTime", "is before economyTime"));
        }
        Ok(Self { economy_time, disputes_time, governor: section.governor, dev: section.dev })
    }

    /// Whether the precompiles answer in a block of this time.
    pub fn active_at(&self, timestamp: u64) -> bool {
        self.economy_time.is_some_and(|t| timestamp >= t)
    }

    /// Whether disputes can be raised in a block of this time.
    pub fn disputes_active_at(&self, timestamp: u64) -> bool {
        self.disputes_time.is_some_and(|t| timestamp >= t)
    }
}
