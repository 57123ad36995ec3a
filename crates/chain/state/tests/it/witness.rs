//! Witnesses of random changes: enough for the same root, none of it too much, and nothing wrong without any part.

use crate::{
    model::Model,
    random::{Op, account_key, address, block, changes, op, plain_slot, slot_key},
};
use alloy_primitives::{B256, Bytes, U256, keccak256};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tributary_state::{
    HashedPostState, MemoryState, ProofTargets, StateError, StateProvider, StateReader, WitnessError,
    WitnessState, collect_nodes,
};

fn targets(reads: &[(u8, u8)]) -> ProofTargets {
    let mut targets = ProofTargets::new();
    for (account, slot) in reads {
        targets.entry(account_key(*account)).or_default().insert(slot_key(*slot));
    }
    targets
}

fn state(root: B256, nodes: &[Bytes]) -> WitnessState {
    WitnessState::new(root, nodes.iter().cloned(), [], BTreeMap::new())
}

/// Reads everything that was recorded, then folds the changes.
fn replay(
    root: B256,
    nodes: &[Bytes],
    reads: &ProofTargets,
    change: &HashedPostState,
) -> Result<B256, StateError> {
    let state = state(root, nodes);
    state.nodes(reads)?;
    Ok(state.state_root(change)?.0)
}

fn check(provider: &dyn StateProvider, before: &MemoryState, change: &HashedPostState, reads: &ProofTargets) {
    let root = before.root();
    let nodes = collect_nodes(provider, root, reads, change).unwrap();
    let mut after = before.clone();
    after.apply(change);
    assert_eq!(replay(root, &nodes, reads, change).unwrap(), after.root());
    for gone in 0..nodes.len() {
        let mut fewer = nodes.clone();
        let removed = keccak256(fewer.remove(gone));
        let error = replay(root, &fewer, reads, change).unwrap_err();
        let StateError::Witness(WitnessError::MissingNode { hash, .. }) = error else { panic!("{error}") };
        assert_eq!(hash, removed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, ..Default::default() })]

    #[test]
    fn a_witness_carries_its_block_and_nothing_else(
        first in proptest::collection::vec(op(), 0..160),
        blocks in proptest::collection::vec((block(), 0usize..3), 1..4),
        reads in proptest::collection::vec((0u8..90, 0u8..90), 0..12),
    ) {
        let mut genesis = changes(&first, &MemoryState::default());
        genesis.accounts.retain(|_, account| account.is_some());
        genesis.storages.retain(|key, _| genesis.accounts.contains_key(key));
        let mut model = Model::new(&genesis);
        for (ops, persist) in &blocks {
            let head = model.head();
            let change = changes(ops, &model.states[head]);
            let reads = targets(&reads);
            check(&model.view(head), &model.states[head], &change, &reads);
            check(&model.states[head], &model.states[head], &change, &reads);
            model.extend(&change);
            (0..*persist).for_each(|_| model.persist());
        }
    }

    /// Whatever bytes stand for nodes: an error or an honest answer, and no panic.
    #[test]
    fn hostile_nodes_are_refused(
        mut nodes in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 1..6),
        kind in 0usize..4,
    ) {
        // The first is the root, and each points to the next where its form allows it.
        for index in (0..nodes.len()).rev() {
            let next = nodes.get(index + 1).map_or(B256::ZERO, keccak256);
            let payload = match kind {
                0 => continue,
                // An extension that leads nowhere further.
                1 => [&[0xe2, 0x00, 0xa0][..], next.as_slice()].concat(),
                // A branch of the same child sixteen times.
                2 => {
                    let children = [&[0xa0][..], next.as_slice()].concat().repeat(16);
                    [&[0xf9, 0x02, 0x11][..], &children, &[0x80]].concat()
                }
                _ => [&[0xe4, 0x82, 0x00, 0x12, 0xa0][..], next.as_slice()].concat(),
            };
            nodes[index] = payload;
        }
        let root = keccak256(&nodes[0]);
        let nodes: Vec<Bytes> = nodes.into_iter().map(Bytes::from).collect();
        let state = state(root, &nodes);
        let mut change = HashedPostState::default();
        change.set_account(address(1), None);
        change.set_account(address(2), Some(Default::default()));
        change.set_slot(address(2), plain_slot(1), U256::from(1));
        for answer in [state.account(address(1)).map(drop), state.state_root(&change).map(drop)] {
            // An extension that leads elsewhere proves that there is no account.
            let honest = kind == 3 && answer.is_ok();
            prop_assert!(honest || matches!(answer, Err(StateError::Witness(_))), "{answer:?}");
        }
    }
}

/// A way that ends in ever more extensions of no length would never come to an end of its key.
#[test]
fn an_extension_without_a_way_is_refused() {
    let mut node = Bytes::from_static(&[0x80]);
    let mut nodes = Vec::new();
    for _ in 0..10_000 {
        node = [&[0xe2, 0x00, 0xa0][..], keccak256(&node).as_slice()].concat().into();
        nodes.push(node.clone());
    }
    let error = state(keccak256(&node), &nodes).account(address(1)).unwrap_err();
    assert!(matches!(error, StateError::Witness(WitnessError::MalformedNode { .. })), "{error}");
}

#[test]
fn the_child_left_alone_in_a_branch_is_in_the_witness() {
    let ops: Vec<Op> = (0..40).map(|account| Op::Set { account, nonce: 1 }).collect();
    let genesis = changes(&ops, &MemoryState::default());
    let model = Model::new(&genesis);
    // All of the accounts but one: the last is on the way to none of them.
    let gone: Vec<Op> = (1..40).map(|account| Op::Remove { account }).collect();
    let change = changes(&gone, &model.states[0]);
    let nodes = collect_nodes(&model.view(0), model.states[0].root(), &ProofTargets::new(), &change).unwrap();
    let on_the_way =
        model.view(0).nodes(&change.accounts.keys().map(|key| (*key, Default::default())).collect()).unwrap();
    assert!(nodes.len() > on_the_way.len());
    check(&model.view(0), &model.states[0], &change, &ProofTargets::new());
}

#[test]
fn what_a_witness_lacks_has_a_name() {
    let mut before = MemoryState::default();
    let mut genesis = HashedPostState::default();
    let code = genesis.add_code(Bytes::from_static(&[0xfe]));
    genesis.set_account(address(1), Some(tributary_state::Account { code_hash: code, ..Default::default() }));
    genesis.set_slot(address(1), plain_slot(1), U256::from(7));
    before.apply(&genesis);
    let reads = ProofTargets::from([(keccak256(address(1)), [keccak256(plain_slot(1))].into())]);
    let nodes = collect_nodes(&before, before.root(), &reads, &HashedPostState::default()).unwrap();
    let witness = state(before.root(), &nodes);
    assert_eq!(witness.storage(address(1), plain_slot(1)).unwrap(), U256::from(7));
    assert_eq!(witness.account(address(1)).unwrap(), before.account(address(1)).unwrap());
    let proof = witness.proof(address(1), &[plain_slot(1)]).unwrap();
    proof.verify(before.root()).unwrap();
    assert_eq!(proof, before.proof(address(1), &[plain_slot(1)]).unwrap());
    assert!(
        matches!(witness.code(code), Err(StateError::Witness(WitnessError::MissingCode(hash))) if hash == code)
    );
    let number = witness.block_hash(3);
    assert!(matches!(number, Err(StateError::Witness(WitnessError::MissingBlockHash(3)))));
}

/// A proof retainer keeps the root also when it is to keep nothing.
#[test]
fn nothing_read_and_nothing_changed_takes_no_nodes() {
    let ops: Vec<Op> = (0..3).map(|account| Op::Set { account, nonce: 1 }).collect();
    let model = Model::new(&changes(&ops, &MemoryState::default()));
    for provider in [&model.view(0) as &dyn StateProvider, &model.states[0]] {
        let (root, none) = (model.states[0].root(), HashedPostState::default());
        assert!(collect_nodes(provider, root, &ProofTargets::new(), &none).unwrap().is_empty());
    }
}
