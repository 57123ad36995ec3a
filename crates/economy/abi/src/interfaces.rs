//! One `sol!` per interface file.

#![expect(
    clippy::too_many_arguments,
    reason = "generated from interfaces whose functions take what they take"
)]

use alloy_sol_types::sol;

sol!(
    #![sol(all_derives, abi)]
    "../../../contracts/src/interfaces/IDatanets.sol"
);
sol!(
    #![sol(all_derives, abi)]
    "../../../contracts/src/interfaces/IModels.sol"
);
sol!(
    #![sol(all_derives, abi)]
    "../../../contracts/src/interfaces/IAgents.sol"
);
sol!(
    #![sol(all_derives, abi)]
    "../../../contracts/src/interfaces/ISettlement.sol"
);
sol!(
    #![sol(all_derives, abi)]
    "../../../contracts/src/interfaces/IAttribution.sol"
);
sol!(
    #![sol(all_derives, abi)]
    "../../../contracts/src/interfaces/IParams.sol"
);
