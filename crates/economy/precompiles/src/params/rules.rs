//! The rules that join parameters. They hold for genesis and after every write.

use super::{Param, key_of};
use alloy_primitives::B256;

const DAY: u128 = 24 * 60 * 60;

/// The first rule that the values break, by its name.
///
/// # Errors
/// Whatever reading a value fails with.
pub(crate) fn check<E>(dev: bool, mut read: impl FnMut(Param) -> Result<u128, E>) -> Result<Option<B256>, E> {
    let mut value = |param| read(param);
    let challenge = value(Param::ChallengeWindow)?;
    let response = value(Param::ResponseWindow)?;
    let extension = value(Param::DisputeExtension)?;
    // Every value is below 2^97 by its range: no sum of four can overflow.
    let windows = challenge + response + extension;
    let split = value(Param::Beta)? + value(Param::Gamma)? + value(Param::Delta)?;
    let rules = [
        ("split", split == 10_000),
        ("unstakeCooldown", value(Param::UnstakeCooldown)? >= windows + value(Param::VoteWindow)?),
        (
            "closeDelay",
            value(Param::CloseDelay)? >= challenge + value(Param::MaxRecordAge)? * value(Param::BlockTime)?,
        ),
        ("challengeWindow", dev || challenge >= DAY),
        ("responseWindow", dev || response >= DAY),
        ("blobLifetime", dev || windows <= 12 * DAY),
    ];
    Ok(rules.iter().find(|rule| !rule.1).map(|rule| key_of(rule.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(dev: bool, change: &[(Param, u128)]) -> Option<B256> {
        check(dev, |param| {
            let spec = param.spec();
            let first = if dev { spec.dev } else { spec.live };
            let changed = change.iter().find(|(other, _)| *other == param).map(|(_, value)| *value);
            Ok::<_, ()>(changed.unwrap_or(first))
        })
        .unwrap()
    }

    #[test]
    fn the_first_values_keep_every_rule() {
        assert_eq!(broken(true, &[]), None);
        assert_eq!(broken(false, &[]), None);
    }

    #[test]
    fn each_rule_can_be_broken() {
        for (dev, param, value, rule) in [
            (true, Param::Beta, 2_501, "split"),
            (true, Param::UnstakeCooldown, 19, "unstakeCooldown"),
            (true, Param::CloseDelay, 604, "closeDelay"),
            (true, Param::BlockTime, 2, "closeDelay"),
            (false, Param::ChallengeWindow, DAY - 1, "challengeWindow"),
            (false, Param::ResponseWindow, DAY - 1, "responseWindow"),
        ] {
            assert_eq!(broken(dev, &[(param, value)]), Some(key_of(rule)), "{rule}");
        }
        let late = [(Param::DisputeExtension, 10 * DAY), (Param::UnstakeCooldown, 30 * DAY)];
        assert_eq!(broken(false, &late), Some(key_of("blobLifetime")));
    }
}
