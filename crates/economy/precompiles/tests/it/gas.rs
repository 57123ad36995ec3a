//! Gas: against the same work in Solidity, on the same EVM.

use crate::fixture::{batch, payouts};
use crate::reference::{REFERENCE, ready};
use crate::world::{OPEN, World};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall;
use tributary_abi::IAttribution::{commitBatchCall, finalizeCall};
use tributary_abi::ISettlement::claimCall;
use tributary_abi::address::{ATTRIBUTION, SETTLEMENT};

fn both(w: &mut World, from: Address, at: Address, call: &impl SolCall) -> [u64; 2] {
    let data = call.abi_encode();
    let tried = w.dry_run(from, at, &data);
    let ours = w.evm(from, at, 0, &data).unwrap();
    let reference = w.evm(from, REFERENCE, 0, &data).unwrap();
    assert_eq!(ours.output, reference.output, "the reference contract does the same");
    assert_eq!(tried, ours.gas, "the same twice");
    [ours.gas, reference.gas]
}

#[test]
fn no_dearer_than_solidity() {
    let (mut w, s, mut payments) = ready(256);
    let alice = Address::repeat_byte(0xa1);
    let tree = payouts(&[(alice, OPEN), (Address::repeat_byte(0xb0), OPEN)]);
    let call: commitBatchCall = batch(&mut w, s.agent, &mut payments, tree.root());
    let commit = both(&mut w, s.operator.address, ATTRIBUTION, &call);
    w.pass(5);
    let id = w.evm(
        alice,
        ATTRIBUTION,
        0,
        &tributary_abi::IAttribution::batchOfCall { agentId: s.agent, seq: 1 }.abi_encode(),
    );
    let id = B256::from_slice(&id.unwrap().output);
    let finalize = finalizeCall { batchId: id }.abi_encode();
    w.evm(alice, ATTRIBUTION, 0, &finalize).unwrap();
    w.evm(alice, REFERENCE, 0, &finalize).unwrap();
    let claim = claimCall {
        agentId: s.agent,
        seq: 1,
        index: 0,
        account: alice,
        cumulative: U256::from(OPEN),
        proof: tree.proof(0).unwrap(),
    };
    let sender = w.wallet("anyone").address;
    // Both pay an account that exists.
    w.fund(alice, 1);
    let claim = both(&mut w, sender, SETTLEMENT, &claim);
    println!("commitBatch with 256 channels {commit:?}, claim {claim:?} (precompile, Solidity)");
    for [ours, solidity] in [commit, claim] {
        assert!(ours <= solidity, "{ours} against {solidity}");
    }
}

#[test]
fn a_cold_slot_costs_more_than_a_warm_one() {
    let (mut w, s, mut payments) = ready(2);
    let one: commitBatchCall = batch(&mut w, s.agent, &mut payments[..1], B256::ZERO);
    let first = w.evm(s.operator.address, ATTRIBUTION, 0, &one.abi_encode()).unwrap();
    // The same again writes its channel for the second time, but opens no more new slots than the first did.
    let two: commitBatchCall = {
        let id = B256::from_slice(&first.output);
        let mut next = one.clone();
        next.header.seq = 2;
        next.header.prevBatch = id;
        next
    };
    let second = w.evm(s.operator.address, ATTRIBUTION, 0, &two.abi_encode()).unwrap();
    // settled was zero before and is not now: the field shares its slot with the deposit, so both are resets.
    assert!(second.gas < first.gas);
}
