//! `eth_config`: the rules of now, of the next fork and of the last one scheduled (EIP-7910).

use alloy_eips::{
    eip2124::ForkHash,
    eip2935::HISTORY_STORAGE_ADDRESS,
    eip4788::BEACON_ROOTS_ADDRESS,
    eip7840::BlobParams,
    eip7910::{EthConfig, EthForkConfig, SystemContract},
};
use std::collections::{BTreeMap, BTreeSet};
use tributary_evm::Executor;
use tributary_spec::{ChainSpec, FORKS, OpHardfork};

/// There are no blobs on an OP chain; only their price is defined.
const NO_BLOBS: BlobParams =
    BlobParams { target_blob_count: 0, max_blob_count: 0, max_blobs_per_tx: 0, ..BlobParams::cancun() };

/// What holds at a time, and what is scheduled after it.
pub(super) fn fork_config(executor: &Executor, now: u64) -> EthConfig {
    let times = activations(executor.spec());
    let current = times.range(..=now).next_back().copied().unwrap_or_default();
    let later: Vec<u64> = times.range(now.saturating_add(1)..).copied().collect();
    let at = |time: u64| config_at(executor, &times, time);
    EthConfig {
        current: at(current),
        next: later.first().map(|time| at(*time)),
        last: later.last().map(|time| at(*time)),
    }
}

/// When rules change; zero for those of genesis.
fn activations(spec: &ChainSpec) -> BTreeSet<u64> {
    let genesis = spec.genesis_header().timestamp;
    let forks = FORKS.into_iter().filter_map(|fork| spec.forks().time(fork));
    let economy = [spec.economy.economy_time, spec.economy.disputes_time].into_iter().flatten();
    forks.chain(economy).map(|time| if time <= genesis { 0 } else { time }).collect()
}

fn config_at(executor: &Executor, times: &BTreeSet<u64>, activation_time: u64) -> EthForkConfig {
    let spec = executor.spec();
    let within = activation_time.max(spec.genesis_header().timestamp);
    let active = |fork| spec.forks().active(fork, within);
    let mut system_contracts = BTreeMap::new();
    if active(OpHardfork::Ecotone) {
        system_contracts.insert(SystemContract::BeaconRoots, BEACON_ROOTS_ADDRESS);
    }
    if active(OpHardfork::Isthmus) {
        system_contracts.insert(SystemContract::HistoryStorage, HISTORY_STORAGE_ADDRESS);
    }
    // EIP-6122: the genesis hash, then every activation since.
    let mut fork_hash = ForkHash::from(spec.genesis_hash());
    for time in times.iter().filter(|time| (1..=activation_time).contains(*time)) {
        fork_hash += *time;
    }
    EthForkConfig {
        activation_time,
        blob_schedule: NO_BLOBS,
        chain_id: spec.chain_id(),
        fork_id: fork_hash.0.into(),
        precompiles: executor.precompiles(within),
        system_contracts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::sync::Arc;
    use tributary_spec::DEV_GENESIS;

    #[test]
    fn forks_to_come_are_told_before_they_come() {
        let mut genesis: Value = serde_json::from_str(DEV_GENESIS).unwrap();
        let now = ChainSpec::dev().genesis_header().timestamp;
        let (karst, disputes) = (now + 1_000, now + 5_000);
        for key in ["karstTime", "osakaTime"] {
            genesis["config"][key] = json!(karst);
        }
        genesis["config"]["disputesTime"] = json!(disputes);
        let spec = ChainSpec::from_json(genesis.to_string().as_bytes()).unwrap();
        let executor = Executor::new(Arc::new(spec));

        let before = fork_config(&executor, now);
        assert_eq!(before.current.activation_time, 0);
        let (next, last) = (before.next.unwrap(), before.last.unwrap());
        assert_eq!((next.activation_time, last.activation_time), (karst, disputes));
        assert_ne!(before.current.fork_id, next.fork_id);
        assert_ne!(next.fork_id, last.fork_id);
        // Karst's P256VERIFY is where Fjord's was.
        assert_eq!(before.current.precompiles, next.precompiles);

        let since = fork_config(&executor, karst);
        assert_eq!(since.current, next);
        assert_eq!(since.next, Some(last.clone()));
        let end = fork_config(&executor, u64::MAX);
        assert_eq!((end.current, end.next, end.last), (last, None, None));
    }
}
