//! Changes as revm gives them.

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use revm::{
    Database, DatabaseCommit,
    database::{BundleState, State, states::bundle_state::BundleRetention},
    state::{Account, AccountInfo, AccountStatus, Bytecode, EvmStorageSlot},
};
use std::sync::Arc;
use tributary_state::{HashedPostState, MemoryState, StateDb, StateReader};

const CONTRACT: Address = Address::repeat_byte(0xc0);
const PERSON: Address = Address::repeat_byte(0x0e);

fn run(state: &MemoryState, change: impl FnOnce(&mut State<StateDb>)) -> BundleState {
    let db = StateDb(Arc::new(state.clone()));
    let mut state = State::builder().with_database(db).with_bundle_update().build();
    change(&mut state);
    state.merge_transitions(BundleRetention::Reverts);
    state.take_bundle()
}

fn base() -> MemoryState {
    let mut changes = HashedPostState::default();
    let code_hash = changes.add_code(Bytes::from_static(&[0xfe]));
    changes
        .set_account(CONTRACT, Some(tributary_state::Account { nonce: 1, balance: U256::ZERO, code_hash }));
    changes.set_slot(CONTRACT, B256::with_last_byte(1), U256::from(11));
    changes.set_slot(CONTRACT, B256::with_last_byte(2), U256::from(22));
    changes
        .set_account(PERSON, Some(tributary_state::Account { balance: U256::from(5), ..Default::default() }));
    let mut state = MemoryState::default();
    state.apply(&changes);
    state
}

fn commit(state: &mut State<StateDb>, address: Address, account: Account) {
    state.commit([(address, account)].into_iter().collect());
}

fn touched(info: AccountInfo, status: AccountStatus) -> Account {
    let mut account = Account::default().with_info(info);
    account.status = AccountStatus::Touched | status;
    account
}

#[test]
fn a_changed_slot_and_a_changed_balance() {
    let mut state = base();
    let bundle = run(&state, |db| {
        let info = db.basic(CONTRACT).unwrap().unwrap();
        db.storage(CONTRACT, U256::from(1)).unwrap();
        db.storage(CONTRACT, U256::from(2)).unwrap();
        let mut account = touched(info, AccountStatus::empty());
        let slot = |old: u64, new: u64| EvmStorageSlot::new_changed(U256::from(old), U256::from(new), 0);
        account.storage.insert(U256::from(1), slot(11, 0));
        account.storage.insert(U256::from(2), slot(22, 22));
        commit(db, CONTRACT, account);
        let info = AccountInfo { balance: U256::from(9), ..db.basic(PERSON).unwrap().unwrap() };
        commit(db, PERSON, touched(info, AccountStatus::empty()));
    });
    let changes = HashedPostState::from_bundle(&bundle);
    let storage = &changes.storages[&keccak256(CONTRACT)];
    assert!(!storage.wiped);
    assert_eq!(storage.slots.len(), 1, "a slot written with its own value did not change");
    state.apply(&changes);
    assert_eq!(state.storage(CONTRACT, B256::with_last_byte(1)).unwrap(), U256::ZERO);
    assert_eq!(state.storage(CONTRACT, B256::with_last_byte(2)).unwrap(), U256::from(22));
    assert_eq!(state.account(PERSON).unwrap().unwrap().balance, U256::from(9));
}

#[test]
fn a_destroyed_contract_takes_its_storage_along() {
    let mut state = base();
    let bundle = run(&state, |db| {
        let info = db.basic(CONTRACT).unwrap().unwrap();
        commit(db, CONTRACT, touched(info, AccountStatus::SelfDestructed));
    });
    let changes = HashedPostState::from_bundle(&bundle);
    assert_eq!(changes.accounts[&keccak256(CONTRACT)], None);
    assert!(changes.storages[&keccak256(CONTRACT)].wiped);
    state.apply(&changes);
    assert_eq!(state.storage(CONTRACT, B256::with_last_byte(2)).unwrap(), U256::ZERO);
    assert_eq!(state.account(CONTRACT).unwrap(), None);
}

#[test]
fn a_touched_empty_account_is_cleared_and_an_untouched_one_is_not_named() {
    let mut state = base();
    let bundle = run(&state, |db| {
        db.basic(CONTRACT).unwrap();
        let info = AccountInfo { balance: U256::ZERO, ..db.basic(PERSON).unwrap().unwrap() };
        commit(db, PERSON, touched(info, AccountStatus::empty()));
    });
    let changes = HashedPostState::from_bundle(&bundle);
    assert_eq!(changes.accounts.len(), 1);
    state.apply(&changes);
    assert_eq!(state.account(PERSON).unwrap(), None);
}

#[test]
fn new_code_comes_along() {
    let state = base();
    let code = Bytecode::new_raw(Bytes::from_static(&[0x60, 0x01, 0x00]));
    let address = Address::repeat_byte(0x77);
    let bundle = run(&state, |db| {
        db.basic(address).unwrap();
        let info = AccountInfo {
            nonce: 1,
            code_hash: code.hash_slow(),
            code: Some(code.clone()),
            ..Default::default()
        };
        commit(db, address, touched(info, AccountStatus::Created));
    });
    let changes = HashedPostState::from_bundle(&bundle);
    assert_eq!(changes.codes[&code.hash_slow()], Bytes::from_static(&[0x60, 0x01, 0x00]));
    assert!(!changes.codes.contains_key(&KECCAK256_EMPTY));
    assert_eq!(changes.accounts[&keccak256(address)].unwrap().code_hash, code.hash_slow());
}
