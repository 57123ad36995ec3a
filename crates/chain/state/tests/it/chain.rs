//! Random chains against the full rebuild: roots, reads, the past, forks, going back.

use crate::{
    model::Model,
    random::{Op, block, changes},
};
use alloy_primitives::B256;
use proptest::prelude::*;
use tributary_state::{HashedPostState, MemoryState, StateError, StateProvider};

fn genesis(ops: &[Op]) -> HashedPostState {
    let mut genesis = changes(ops, &MemoryState::default());
    genesis.accounts.retain(|_, account| account.is_some());
    genesis.storages.retain(|key, _| genesis.accounts.contains_key(key));
    genesis
}

fn grow(model: &mut Model, ops: &[Op]) {
    let changes = changes(ops, &model.states[model.head()]);
    model.extend(&changes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, ..Default::default() })]

    #[test]
    fn every_root_is_the_rebuilt_one(
        first in proptest::collection::vec(crate::random::op(), 0..120),
        blocks in proptest::collection::vec((block(), 0usize..4), 1..14),
    ) {
        let mut model = Model::new(&genesis(&first));
        for (ops, persist) in &blocks {
            grow(&mut model, ops);
            (0..*persist).for_each(|_| model.persist());
        }
        model.verify();
        for number in 0..=model.head() {
            model.check_reads(number);
            model.check_root(number);
        }
    }

    #[test]
    fn going_back_restores_and_forks_grow(
        first in proptest::collection::vec(crate::random::op(), 0..120),
        blocks in proptest::collection::vec(block(), 3..9),
        back in 1usize..6,
        fork in proptest::collection::vec(block(), 1..5),
    ) {
        let mut model = Model::new(&genesis(&first));
        for ops in &blocks {
            grow(&mut model, ops);
            model.persist();
        }
        // A fork's root computed on the past, before anything is taken back …
        let base = model.head() - back.min(model.head());
        let state = &model.states[base];
        let change = changes(&fork[0], state);
        let root = model.view(base).state_root(&change).unwrap().0;
        let mut forked = state.clone();
        forked.apply(&change);
        prop_assert_eq!(root, forked.root());
        // … and the fork itself, after.
        while model.persisted > base {
            model.unwind();
            model.verify();
        }
        for ops in &fork {
            grow(&mut model, ops);
            model.persist();
        }
        model.verify();
        for number in 0..=model.head() {
            model.check_reads(number);
            model.check_root(number);
        }
    }
}

#[test]
fn the_past_beyond_the_kept_diffs_is_read_but_not_proved() {
    let mut model = Model::new(&HashedPostState::default());
    for nonce in 1..=10 {
        grow(&mut model, &[Op::Set { account: 1, nonce }]);
        model.persist();
    }
    model.prune(6);
    for number in 0..=10 {
        model.check_reads(number);
    }
    for number in 5..=10 {
        model.check_root(number);
    }
    let result = model.view(4).state_root(&HashedPostState::default());
    assert!(matches!(result, Err(StateError::TooOld { number: 4, oldest: 5 })), "{result:?}");
}

#[test]
fn a_merged_past_follows_the_head() {
    let mut model = Model::new(&HashedPostState::default());
    for nonce in 1..=12 {
        grow(
            &mut model,
            &[Op::Set { account: nonce, nonce }, Op::Store { account: 3, slot: nonce, value: nonce }],
        );
        model.persist();
        // The same past block at every head: merged once, then only extended.
        if model.head() > 2 {
            model.check_root(2);
        }
    }
    // After a reorg what was merged from the old chain is not used.
    for _ in 0..4 {
        model.unwind();
    }
    grow(&mut model, &[Op::Store { account: 3, slot: 2, value: 9 }]);
    model.persist();
    model.check_root(2);
}

#[test]
fn block_hashes_come_from_memory_then_from_the_store() {
    use tributary_state::StateReader;
    let mut model = Model::new(&HashedPostState::default());
    for nonce in 1..=6 {
        grow(&mut model, &[Op::Set { account: 1, nonce }]);
    }
    (0..3).for_each(|_| model.persist());
    let view = model.view(5);
    let hashes: Vec<Option<B256>> = (0..8).map(|number| view.block_hash(number).unwrap()).collect();
    assert!(hashes[..=5].iter().all(Option::is_some));
    assert_eq!(hashes[6..], [None, None]);
    assert_eq!(model.view(1).block_hash(2).unwrap(), None);
}

/// Thousands of leaves, so that tries have stored nodes several levels deep.
#[test]
fn a_wide_state_keeps_its_roots() {
    use alloy_primitives::U256;
    use rand::{Rng, SeedableRng};
    use tributary_state::Account;

    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let account = |random: &mut rand_chacha::ChaCha8Rng| {
        Some(Account {
            nonce: random.random_range(1..9),
            balance: U256::from(random.random::<u64>()),
            ..Default::default()
        })
    };
    let mut genesis = HashedPostState::default();
    for _ in 0..4_000 {
        genesis.accounts.insert(B256::from(random.random::<[u8; 32]>()), account(&mut random));
    }
    let owners: Vec<B256> = genesis.accounts.keys().take(3).copied().collect();
    for owner in &owners {
        let slots = &mut genesis.storages.entry(*owner).or_default().slots;
        slots.extend((0..1_500).map(|_| (B256::from(random.random::<[u8; 32]>()), U256::from(1))));
    }
    let mut model = Model::new(&genesis);
    for round in 0..8 {
        let state = &model.states[model.head()];
        let mut change = HashedPostState::default();
        for (key, _) in state.accounts().iter().filter(|(key, _)| !owners.contains(key)) {
            match random.random_range(0..60) {
                0 => change.accounts.insert(*key, account(&mut random)),
                1 => change.accounts.insert(*key, None),
                2 => change.accounts.insert(B256::from(random.random::<[u8; 32]>()), account(&mut random)),
                _ => None,
            };
        }
        for owner in &owners {
            let slots = &mut change.storages.entry(*owner).or_default().slots;
            for slot in state.storages()[owner].keys() {
                match random.random_range(0..40) {
                    0 => slots.insert(*slot, U256::ZERO),
                    1 => slots.insert(B256::from(random.random::<[u8; 32]>()), U256::from(2)),
                    _ => None,
                };
            }
        }
        model.extend(&change);
        if round % 3 != 2 {
            model.persist();
        }
    }
    model.verify();
    (0..=model.head()).for_each(|number| model.check_root(number));
    while model.persisted > 1 {
        model.unwind();
    }
    model.verify();
}

/// Blocks with more changed keys than leaves: whole subtries come and go, down to one leaf and to none.
#[test]
fn large_changes_of_small_tries_keep_their_roots() {
    use alloy_primitives::{U256, keccak256};
    use tributary_state::Account;

    let key = |index: u64| keccak256(index.to_be_bytes());
    let owner = key(0);
    let set = |keys: std::ops::Range<u64>, present: bool| {
        let mut change = HashedPostState::default();
        change
            .accounts
            .insert(owner, Some(Account { nonce: keys.end + u64::from(present), ..Default::default() }));
        for index in keys {
            change
                .accounts
                .insert(key(index + 1), present.then(|| Account { nonce: index + 1, ..Default::default() }));
            let value = if present { U256::from(index + 1) } else { U256::ZERO };
            change.storages.entry(owner).or_default().slots.insert(key(index), value);
        }
        change
    };
    let mut model = Model::new(&HashedPostState::default());
    let steps = [
        (0..400, true),
        (3..400, false),
        (100..300, true),
        (0..399, false),
        (0..600, true),
        (1..600, false),
        (0..1, false),
        (0..200, true),
        (20..220, false),
        (0..1_500, true),
        (300..700, false),
    ];
    for (keys, present) in steps {
        model.extend(&set(keys, present));
        model.persist();
        model.verify();
    }
    (0..=model.head()).for_each(|number| model.check_root(number));
}
