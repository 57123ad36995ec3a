use crate::world::*;
use alloy_primitives::{U256, keccak256};
use tributary_batch::*;
use tributary_record::merkle::{payout_leaf, record_leaf, verify};
use tributary_record::*;

fn packed() -> Packed {
    let world = World::new(4, 12);
    let mut numbers = Numbers(2);
    let records = (0..20).map(|at| world.request(&mut numbers, at % PAYERS, at)).collect();
    let outcome = pack(&world.view, &AgentState::new(AGENT), records, COMMIT_BLOCK, &Limits::default());
    outcome.expect("packing").packed.expect("a batch")
}

#[test]
fn every_account_can_prove_its_claim() {
    let packed = packed();
    assert!(packed.state.payouts.n_accounts() > 3);
    for (account, sum) in packed.state.payouts.accounts() {
        let claim = packed.state.claim(*account).expect("a credited account");
        assert_eq!((claim.seq, claim.cumulative), (1, *sum));
        let leaf = payout_leaf(claim.index, claim.account, U256::from(claim.cumulative));
        assert!(verify(32, packed.header.payout_root, claim.index.into(), leaf, &claim.proof));
    }
    assert!(packed.state.claim(account("nobody")).is_none());
}

#[test]
fn every_record_can_be_proved() {
    let packed = packed();
    let tree = RecordTree::new(&packed.bytes).expect("a batch");
    assert_eq!(tree.root(), packed.header.records_root);
    for (index, bytes) in (0u32..).zip(tree.records()) {
        let proof = tree.proof(index).expect("a record");
        assert!(verify(16, tree.root(), index.into(), record_leaf(index, keccak256(bytes)), &proof));
    }
    assert!(tree.proof(20).is_err());
    assert!(RecordTree::new(&packed.bytes[1..]).is_err());
}

#[test]
fn books_take_only_the_next_batch_with_its_own_records() {
    let packed = packed();
    let mut state = AgentState::new(AGENT);
    let ahead = Header { seq: 2, ..packed.header };
    assert!(matches!(state.apply(CHAIN, &ahead, &packed.records), Err(ApplyError::NotNext { .. })));
    let orphan = Header { prev_batch: keccak256("other"), ..packed.header };
    assert!(matches!(state.apply(CHAIN, &orphan, &packed.records), Err(ApplyError::Parent { .. })));
    assert!(matches!(state.apply(CHAIN, &packed.header, &packed.records[1..]), Err(ApplyError::Root)));
    assert_eq!(state, AgentState::new(AGENT));
    state.apply(CHAIN, &packed.header, &packed.records).expect("the next batch");
    assert_eq!(state, packed.state);
    state.retain_channels(|_| false);
    assert!(state.vouchers.is_empty());
}
