//! The same work as a Solidity contract, ready to be called.

use crate::fixture::{Payment, Service, open, service};
use crate::forge::artefact;
use crate::world::{OPEN, Wallet, World};
use alloy_primitives::{Address, aliases::U192, hex};
use alloy_sol_types::{SolCall, sol};
use tributary_precompiles::PARAMS;

sol! {
    function setParam(bytes32 key, uint192 value);
    function addAgent(uint64 id, address owner, address operator, uint128 stake);
    function addChannel(bytes32 id, uint64 agentId, address signer, address payer);
}

/// Where the contract is.
pub(crate) const REFERENCE: Address = Address::repeat_byte(0xee);

/// A world with `channels` channels, opened in the precompiles and in the reference contract.
pub(crate) fn ready(channels: usize) -> (World, Service, Vec<Payment>) {
    let mut w = World::new();
    let s = service(&mut w);
    let code = artefact("Reference")["deployedBytecode"]["object"].as_str().unwrap().to_owned();
    w.deploy(REFERENCE, hex::decode(code).unwrap());
    for spec in PARAMS {
        let call = setParamCall { key: spec.key(), value: U192::from(spec.dev) };
        w.evm(s.owner.address, REFERENCE, 0, &call.abi_encode()).unwrap();
    }
    let agent =
        addAgentCall { id: s.agent, owner: s.owner.address, operator: s.operator.address, stake: OPEN };
    w.evm(s.owner.address, REFERENCE, 0, &agent.abi_encode()).unwrap();
    let payments = (0..channels)
        .map(|n| {
            let payer: Wallet = w.wallet(&format!("payer {n}"));
            let id = open(&mut w, &payer, s.agent, OPEN);
            let add = addChannelCall { id, agentId: s.agent, signer: payer.address, payer: payer.address };
            w.evm(payer.address, REFERENCE, OPEN, &add.abi_encode()).unwrap();
            Payment::new(id, &payer, OPEN / 2, OPEN / 4)
        })
        .collect();
    (w, s, payments)
}
