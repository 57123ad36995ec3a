//! Where the economy meets the EVM.

use alloy_evm::precompiles::PrecompilesMap;
use tributary_precompiles::EconomyConfig;
use tributary_spec::ChainSpec;

/// Mounts the economy's precompiles on a chain that schedules them. They check their times themselves: before it,
/// a call reverts. A chain without `economyTime` has ordinary accounts at these addresses.
pub(crate) fn mount(precompiles: &mut PrecompilesMap, spec: &ChainSpec) {
    if spec.economy.economy_time.is_none() {
        return;
    }
    let config = EconomyConfig {
        chain_id: spec.chain_id(),
        genesis_hash: spec.genesis_hash(),
        dev: spec.economy.dev,
        economy_time: spec.economy.economy_time,
        disputes_time: spec.economy.disputes_time,
    };
    tributary_precompiles::mount(precompiles, &config);
}
