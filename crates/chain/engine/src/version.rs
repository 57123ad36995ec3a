//! Which version of a method belongs to which fork.
//!
//! | fork | attributes | newPayload | getPayload |
//! |---|---|---|---|
//! | before Canyon | V1, V2 | V1, V2 | V1, V2 |
//! | Canyon | V2 | V2 | V2 |
//! | Ecotone to Holocene | V3 | V3 | V3 |
//! | Isthmus, Jovian | V3 | V4 | V4 |
//! | Karst | V3 | V4 | V5 |

use std::fmt;

use tributary_spec::{ChainSpec, OpHardfork};

use crate::EngineError;

/// The version of a method, as it stands at the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Paris.
    V1 = 1,
    /// Shanghai.
    V2,
    /// Cancun.
    V3,
    /// Prague.
    V4,
    /// Osaka.
    V5,
}

impl Version {
    /// The byte that begins ids of payloads this version of forkchoiceUpdated asked for.
    pub(crate) const fn byte(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "V{}", self.byte())
    }
}

/// The methods that are bound to forks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// forkchoiceUpdated, if it brings attributes.
    Attributes,
    NewPayload,
    GetPayload,
}

impl Method {
    const fn name(self) -> &'static str {
        match self {
            Self::Attributes => "attributes of forkchoiceUpdated",
            Self::NewPayload => "newPayload",
            Self::GetPayload => "getPayload",
        }
    }

    /// Versions for a block of this time, oldest first.
    fn versions(self, spec: &ChainSpec, timestamp: u64) -> &'static [Version] {
        use Version::{V1, V2, V3, V4, V5};
        let active = |fork| spec.forks().active(fork, timestamp);
        if !active(OpHardfork::Canyon) {
            return &[V1, V2];
        }
        if !active(OpHardfork::Ecotone) {
            return &[V2];
        }
        match self {
            Self::GetPayload if active(OpHardfork::Karst) => &[V5],
            Self::GetPayload | Self::NewPayload if active(OpHardfork::Isthmus) => &[V4],
            _ => &[V3],
        }
    }

    /// Refuses a version that is not for blocks of this time.
    pub(crate) fn check(self, version: Version, spec: &ChainSpec, timestamp: u64) -> Result<(), EngineError> {
        let expected = self.versions(spec, timestamp);
        if expected.contains(&version) {
            return Ok(());
        }
        let fork = spec.forks().latest(timestamp).name();
        Err(EngineError::UnsupportedFork { method: self.name(), version, fork, timestamp })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_spec::{DEV_GENESIS, Genesis};

    type Versions = &'static [Version];

    /// A chain with one fork every ten seconds, Regolith at 10.
    fn staggered() -> ChainSpec {
        let mut genesis: Genesis = serde_json::from_str(DEV_GENESIS).unwrap();
        genesis.timestamp = 0;
        genesis.extra_data = Default::default();
        let names =
            ["regolith", "canyon", "ecotone", "fjord", "granite", "holocene", "isthmus", "jovian", "karst"];
        for (index, name) in names.into_iter().enumerate() {
            let key = format!("{name}Time");
            genesis.config.extra_fields.insert(key, serde_json::json!((index + 1) * 10));
        }
        genesis.config.shanghai_time = None;
        genesis.config.cancun_time = None;
        genesis.config.prague_time = None;
        genesis.config.osaka_time = None;
        genesis.config.extra_fields.remove("deltaTime");
        ChainSpec::from_genesis(genesis).unwrap()
    }

    #[test]
    fn every_fork_has_its_versions() {
        use Version::{V1, V2, V3, V4, V5};
        let spec = staggered();
        let rows: [(u64, Versions, Versions, Versions); 6] = [
            (0, &[V1, V2], &[V1, V2], &[V1, V2]),
            (20, &[V2], &[V2], &[V2]),
            (30, &[V3], &[V3], &[V3]),
            (60, &[V3], &[V3], &[V3]),
            (70, &[V3], &[V4], &[V4]),
            (90, &[V3], &[V4], &[V5]),
        ];
        for (time, attributes, new_payload, get_payload) in rows {
            assert_eq!(Method::Attributes.versions(&spec, time), attributes, "{time}");
            assert_eq!(Method::NewPayload.versions(&spec, time), new_payload, "{time}");
            assert_eq!(Method::GetPayload.versions(&spec, time), get_payload, "{time}");
        }
        let refused = Method::GetPayload.check(V4, &spec, 90).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "unsupported fork: getPayload V4 is not for blocks of Karst (timestamp 90)"
        );
    }
}
