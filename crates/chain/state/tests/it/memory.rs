//! The in-memory state against known roots and its own proofs.

use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, U256, keccak256};
use std::collections::BTreeMap;
use tributary_state::{HashedPostState, MemoryState, StateProvider, StateReader};

fn address(byte: u8) -> Address {
    Address::repeat_byte(byte)
}

fn alloc() -> BTreeMap<Address, GenesisAccount> {
    let slots = (0u8..40).map(|i| (B256::with_last_byte(i), B256::with_last_byte(i))).collect();
    let contract = GenesisAccount::default()
        .with_nonce(Some(1))
        .with_code(Some(vec![0xfe].into()))
        .with_storage(Some(slots));
    (1u8..30)
        .map(|i| (address(i), GenesisAccount::default().with_balance(U256::from(i))))
        .chain([(address(0xaa), contract)])
        .collect()
}

#[test]
fn the_empty_state_has_the_empty_root() {
    assert_eq!(MemoryState::default().root(), alloy_trie::EMPTY_ROOT_HASH);
}

#[test]
fn a_genesis_has_the_root_that_alloy_trie_gives_its_leaves() {
    let state = MemoryState::from_alloc(&alloc());
    let leaves =
        alloc().into_iter().map(|(address, genesis)| (address, alloy_trie::TrieAccount::from(genesis)));
    assert_eq!(state.root(), alloy_trie::root::state_root_unhashed(leaves));
}

#[test]
fn proofs_of_presence_and_absence_hold() {
    let state = MemoryState::from_alloc(&alloc());
    let slots: Vec<B256> = (0u8..50).map(B256::with_last_byte).collect();
    for byte in [1, 7, 0xaa, 0xee] {
        let proof = state.proof(address(byte), &slots).unwrap();
        proof.verify(state.root()).unwrap();
        assert_eq!(proof.account.is_some(), byte != 0xee);
    }
    let mut forged = state.proof(address(7), &[]).unwrap();
    forged.account.as_mut().unwrap().balance += U256::from(1);
    assert!(forged.verify(state.root()).is_err());
}

/// Two slots whose hashes begin with the same eight digits: their leaves are so short that the branch above holds them.
fn neighbours() -> (B256, B256) {
    let mut seen = std::collections::HashMap::new();
    (0u64..)
        .find_map(|number| {
            let slot = B256::from(U256::from(number));
            let hash = keccak256(slot);
            seen.insert([hash[0], hash[1], hash[2], hash[3]], slot).map(|other| (other, slot))
        })
        .unwrap()
}

#[test]
fn proofs_of_leaves_within_their_branch_hold() {
    let (left, right) = neighbours();
    let one = B256::with_last_byte(1);
    for others in [0u8, 40] {
        let slots = (0..others).map(|i| (B256::repeat_byte(i + 1), one)).chain([(left, one), (right, one)]);
        let contract = GenesisAccount::default().with_storage(Some(slots.collect()));
        let state = MemoryState::from_alloc(&BTreeMap::from([(address(1), contract)]));
        let proof = state.proof(address(1), &[left, right, B256::repeat_byte(0xfe)]).unwrap();
        proof.verify(state.root()).unwrap();
        assert!(proof.storage.iter().flat_map(|slot| &slot.proof).all(|node| node.len() >= 32));
    }
}

#[test]
fn a_removed_account_loses_its_storage() {
    let mut state = MemoryState::from_alloc(&alloc());
    let mut changes = HashedPostState::default();
    changes.set_account(address(0xaa), None);
    state.apply(&changes);
    assert_eq!(state.storage(address(0xaa), B256::with_last_byte(3)).unwrap(), U256::ZERO);
    assert!(state.storages().is_empty());
}
