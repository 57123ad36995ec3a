//! Proofs of present and absent keys, at the head, in memory and in the past.

use crate::{
    model::Model,
    random::{Op, address, block, changes, plain_slot},
};
use alloy_primitives::{B256, U256, keccak256};
use proptest::prelude::*;
use tributary_state::{HashedPostState, StateProvider, StateReader};

fn check(model: &Model, number: usize) {
    let (view, state) = (model.view(number), &model.states[number]);
    let root = state.root();
    let slots: Vec<B256> = (0..34).map(plain_slot).collect();
    for index in 0..34 {
        let proof = view.proof(address(index), &slots).unwrap();
        proof.verify(root).unwrap();
        assert_eq!(proof.account, state.account(address(index)).unwrap());
        for slot in &proof.storage {
            assert_eq!(slot.value, state.storage(address(index), slot.slot).unwrap());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 200, ..Default::default() })]

    #[test]
    fn proofs_hold_everywhere(blocks in proptest::collection::vec((block(), 0usize..3), 2..8)) {
        let mut model = Model::new(&HashedPostState::default());
        for (ops, persist) in &blocks {
            let changes = changes(ops, &model.states[model.head()]);
            model.extend(&changes);
            (0..*persist).for_each(|_| model.persist());
        }
        for number in 0..=model.head() {
            check(&model, number);
        }
    }
}

/// A leaf of less than 32 bytes is written into its branch and was once given as an element of its own as well, which no verifier
/// takes. It takes two keys whose hashes share 32 bits.
#[test]
fn a_leaf_inside_its_branch_is_no_element_of_the_proof() {
    let mut seen = std::collections::HashMap::new();
    let (one, other) = (0u64..)
        .find_map(|index| {
            let slot = B256::from(U256::from(index));
            let prefix: [u8; 4] = keccak256(slot)[..4].try_into().unwrap();
            seen.insert(prefix, slot).map(|earlier| (earlier, slot))
        })
        .unwrap();
    let mut model = Model::new(&HashedPostState::default());
    let mut change = HashedPostState::default();
    change.set_account(address(7), Some(Default::default()));
    for slot in [one, other].into_iter().chain((0..40).map(plain_slot)) {
        change.set_slot(address(7), slot, U256::from(3));
    }
    model.extend(&change);
    model.persist();
    let proof = model.view(1).proof(address(7), &[one, other]).unwrap();
    proof.verify(model.states[1].root()).unwrap();
    for slot in &proof.storage {
        assert_eq!(slot.value, U256::from(3));
        assert!(slot.proof.iter().all(|node| node.len() >= 32));
    }
}

#[test]
fn a_large_storage_trie_is_proved_and_emptied() {
    let mut model = Model::new(&HashedPostState::default());
    let mut change = HashedPostState::default();
    change.set_account(address(7), Some(Default::default()));
    for index in 0..3_000u64 {
        change.set_slot(address(7), B256::from(U256::from(index)), U256::from(index + 1));
    }
    model.extend(&change);
    model.persist();
    let slots: Vec<B256> = (2_990u64..3_010).map(|index| B256::from(U256::from(index))).collect();
    let proof = model.view(1).proof(address(7), &slots).unwrap();
    proof.verify(model.states[1].root()).unwrap();
    assert_eq!(proof.storage.iter().filter(|slot| !slot.value.is_zero()).count(), 10);

    let mut change = HashedPostState::default();
    for index in 0..3_000u64 {
        change.set_slot(address(7), B256::from(U256::from(index)), U256::ZERO);
    }
    model.extend(&change);
    model.persist();
    model.verify();
    let proof = model.view(2).proof(address(7), &slots).unwrap();
    proof.verify(model.states[2].root()).unwrap();
    assert_eq!(proof.storage_root, alloy_trie::EMPTY_ROOT_HASH);
    assert!(proof.storage.iter().all(|slot| slot.proof.is_empty()));
    // And the same account as it was.
    let proof = model.view(1).proof(address(7), &slots).unwrap();
    proof.verify(model.states[1].root()).unwrap();
}

#[test]
fn storage_roots_are_the_rebuilt_ones() {
    let mut model = Model::new(&HashedPostState::default());
    let ops: Vec<Op> = (0..20).map(|slot| Op::Store { account: 4, slot, value: 1 }).collect();
    let change = changes(&ops, &model.states[0]);
    assert_eq!(
        model.view(0).storage_root(address(4), &change).unwrap(),
        model.states[0].storage_root(address(4), &change).unwrap()
    );
    model.extend(&change);
    let none = HashedPostState::default();
    let removed = changes(&[Op::Remove { account: 4 }], &model.states[1]);
    for change in [none, removed] {
        assert_eq!(
            model.view(1).storage_root(address(4), &change).unwrap(),
            model.states[1].storage_root(address(4), &change).unwrap()
        );
    }
}
