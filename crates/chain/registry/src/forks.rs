//! Forks that came after the registry's data was taken.

/// A fork that a whole superchain has scheduled.
struct Scheduled {
    superchain: &'static str,
    key: &'static str,
    time: u64,
}

/// <https://docs.optimism.io/notices>: Jovian (upgrade 17) and Karst (upgrade 19).
const SINCE: [Scheduled; 4] = [
    Scheduled { superchain: "mainnet", key: "jovian", time: 1_764_691_201 },
    Scheduled { superchain: "mainnet", key: "karst", time: 1_783_526_401 },
    Scheduled { superchain: "sepolia", key: "jovian", time: 1_763_568_001 },
    Scheduled { superchain: "sepolia", key: "karst", time: 1_781_712_001 },
];

/// Chains that left the superchain, and when their own next fork began: Base with Azul.
const DEPARTED: [(u64, u64); 2] = [(8_453, 1_779_991_200), (84_532, 1_776_708_000)];

/// When a chain began to follow rules that are no OP fork.
pub(crate) fn departed(chain_id: u64) -> Option<u64> {
    DEPARTED.into_iter().find(|(departed, _)| *departed == chain_id).map(|(_, time)| time)
}

/// The forks that a chain receives from its superchain beyond those of the registry's data.
pub(crate) fn inherited(
    superchain: &str,
    superchain_time: Option<u64>,
    chain_id: u64,
) -> impl Iterator<Item = (&'static str, u64)> {
    SINCE
        .into_iter()
        .filter(move |fork| {
            fork.superchain == superchain
                && superchain_time.is_some_and(|since| since <= fork.time)
                && departed(chain_id).is_none_or(|departed| fork.time < departed)
        })
        .map(|fork| (fork.key, fork.time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(superchain: &str, since: Option<u64>, chain_id: u64) -> Vec<&'static str> {
        inherited(superchain, since, chain_id).map(|(key, _)| key).collect()
    }

    #[test]
    fn only_who_follows_inherits() {
        assert_eq!(keys("mainnet", Some(0), 10), ["jovian", "karst"]);
        assert_eq!(keys("sepolia", Some(1_763_568_001), 1), ["jovian", "karst"]);
        assert_eq!(keys("sepolia", Some(1_763_568_002), 1), ["karst"]);
        assert!(keys("mainnet", None, 10).is_empty());
        assert!(keys("sepolia-dev-0", Some(0), 1).is_empty());
        assert_eq!(keys("mainnet", Some(0), 8_453), ["jovian"]);
        assert_eq!(keys("sepolia", Some(0), 84_532), ["jovian"]);
    }
}
