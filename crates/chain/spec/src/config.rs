//! The `config` section of a genesis file: which forks, which constants, and what is refused.

use alloy_genesis::ChainConfig;
use alloy_op_hardforks::OpHardfork;
use serde::Deserialize;
use serde_json::Value;

use crate::{BaseFeeConstants, EconomyForks, Eip1559Params, FORKS, ForkSchedule, SpecError};

/// Keys that resemble forks and are no forks of the execution client. Delta changes batches alone;
/// `pectraBlobScheduleTime` is op-node's.
const IGNORED_TIME_KEYS: [&str; 2] = ["deltaTime", "pectraBlobScheduleTime"];

/// The next fork, under its name and the name older code gives it.
const UNSUPPORTED: [&str; 2] = ["lagoonTime", "interopTime"];

/// What the chain configuration says, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ParsedConfig {
    pub(crate) forks: ForkSchedule,
    pub(crate) base_fee: BaseFeeConstants,
    pub(crate) economy: EconomyForks,
}

impl ParsedConfig {
    pub(crate) fn read(config: &ChainConfig) -> Result<Self, SpecError> {
        let forks = read_forks(config)?;
        refuse_unknown_forks(config)?;
        check_l1_forks(config, &forks)?;
        let economy = EconomyForks::from_config(
            time(config, "economyTime")?,
            time(config, "disputesTime")?,
            value(config, "tributary"),
        )?;
        Ok(Self { forks, base_fee: read_base_fee(config, &forks)?, economy })
    }
}

fn read_forks(config: &ChainConfig) -> Result<ForkSchedule, SpecError> {
    if let Some(key) = UNSUPPORTED.into_iter().find(|key| value(config, key).is_some()) {
        return Err(SpecError::UnsupportedFork { key: key.into() });
    }
    match time(config, "bedrockBlock")? {
        None | Some(0) => {}
        Some(block) => return Err(SpecError::PreBedrock(block)),
    }
    let mut times = [None; FORKS.len()];
    for fork in FORKS.into_iter().skip(1) {
        times[fork.idx()] = time(config, &time_key(fork))?;
    }
    ForkSchedule::new(times)
}

fn time_key(fork: OpHardfork) -> String {
    format!("{}Time", fork.name().to_lowercase())
}

fn refuse_unknown_forks(config: &ChainConfig) -> Result<(), SpecError> {
    let known: Vec<String> = FORKS
        .into_iter()
        .map(time_key)
        .chain(["bedrockBlock", "economyTime", "disputesTime"].map(String::from))
        .chain(IGNORED_TIME_KEYS.map(String::from))
        .collect();
    for (key, found) in config.extra_fields.iter() {
        if resembles_fork(key) && !found.is_null() && !known.contains(key) {
            return Err(SpecError::UnknownFork(key.clone()));
        }
    }
    Ok(())
}

/// Whether somebody may have meant a fork by this key: also one in another case, with underscores, or with `Timestamp` for `Time`.
fn resembles_fork(key: &str) -> bool {
    let plain: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    ["time", "timestamp", "block", "blocknumber"].iter().any(|end| plain.ends_with(end))
}

/// The L1 schedule is derived; a genesis may repeat it, not contradict it.
fn check_l1_forks(config: &ChainConfig, forks: &ForkSchedule) -> Result<(), SpecError> {
    let agree = |key, found: Option<u64>, expected: Option<u64>| match found {
        Some(found) if Some(found) != expected => Err(SpecError::L1Mismatch { key, found, expected }),
        _ => Ok(()),
    };
    for (key, block) in [
        ("homesteadBlock", config.homestead_block),
        ("eip150Block", config.eip150_block),
        ("eip155Block", config.eip155_block),
        ("eip158Block", config.eip158_block),
        ("byzantiumBlock", config.byzantium_block),
        ("constantinopleBlock", config.constantinople_block),
        ("petersburgBlock", config.petersburg_block),
        ("istanbulBlock", config.istanbul_block),
        ("muirGlacierBlock", config.muir_glacier_block),
        ("berlinBlock", config.berlin_block),
        ("londonBlock", config.london_block),
        ("arrowGlacierBlock", config.arrow_glacier_block),
        ("grayGlacierBlock", config.gray_glacier_block),
        ("mergeNetsplitBlock", config.merge_netsplit_block),
    ] {
        agree(key, block, Some(0))?;
    }
    agree("daoForkBlock", config.dao_fork_block, None)?;
    for (key, found, fork) in [
        ("shanghaiTime", config.shanghai_time, OpHardfork::Canyon),
        ("cancunTime", config.cancun_time, OpHardfork::Ecotone),
        ("pragueTime", config.prague_time, OpHardfork::Isthmus),
        ("osakaTime", config.osaka_time, OpHardfork::Karst),
    ] {
        agree(key, found, forks.time(fork))?;
    }
    for (key, found) in [
        ("amsterdamTime", config.amsterdam_time),
        ("bogotaTime", config.bogota_time),
        ("bpo1Time", config.bpo1_time),
        ("bpo2Time", config.bpo2_time),
        ("bpo3Time", config.bpo3_time),
        ("bpo4Time", config.bpo4_time),
        ("bpo5Time", config.bpo5_time),
    ] {
        agree(key, found, None)?;
    }
    Ok(())
}

/// `config.optimism` as op-geth writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OptimismSection {
    #[serde(rename = "eip1559Elasticity")]
    elasticity: u32,
    #[serde(rename = "eip1559Denominator")]
    denominator: u32,
    #[serde(rename = "eip1559DenominatorCanyon")]
    denominator_canyon: Option<u32>,
}

fn read_base_fee(config: &ChainConfig, forks: &ForkSchedule) -> Result<BaseFeeConstants, SpecError> {
    let bad = |reason: String| SpecError::BadValue { key: "optimism".into(), reason };
    let section = value(config, "optimism").ok_or(SpecError::NotOptimism)?;
    let section = OptimismSection::deserialize(section).map_err(|e| bad(e.to_string()))?;
    let canyon = match section.denominator_canyon {
        Some(denominator) => denominator,
        None if forks.time(OpHardfork::Canyon).is_none() => section.denominator,
        None => return Err(bad("eip1559DenominatorCanyon is missing, and canyonTime is set".into())),
    };
    let params =
        |denominator| Eip1559Params::new(denominator, section.elasticity).map_err(|e| bad(e.to_string()));
    Ok(BaseFeeConstants { bedrock: params(section.denominator)?, canyon: params(canyon)? })
}

/// A key that is present and not null.
fn value<'a>(config: &'a ChainConfig, key: &str) -> Option<&'a Value> {
    config.extra_fields.get(key).filter(|value| !value.is_null())
}

fn time(config: &ChainConfig, key: &str) -> Result<Option<u64>, SpecError> {
    value(config, key)
        .map(|value| {
            value.as_u64().ok_or_else(|| SpecError::BadValue {
                key: key.into(),
                reason: format!("{value} is not a whole number"),
            })
        })
        .transpose()
}
