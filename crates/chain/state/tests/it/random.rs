//! Random blocks. Keys are chosen so that tries get deep: long shared prefixes, extensions, lone leaves.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use proptest::prelude::*;
use tributary_state::{Account, HashedPostState, HashedStorage, MemoryState};

/// One change in a block.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Set { account: u8, nonce: u8 },
    Deploy { account: u8, code: u8 },
    Remove { account: u8 },
    Store { account: u8, slot: u8, value: u8 },
    Wipe { account: u8 },
}

pub(crate) const ACCOUNTS: u8 = 90;
const PLAIN: u8 = 30;

pub(crate) fn address(index: u8) -> Address {
    Address::repeat_byte(index)
}

/// The first accounts have real addresses; the others have hashes that collide for many nibbles.
pub(crate) fn account_key(index: u8) -> B256 {
    if index < PLAIN { keccak256(address(index)) } else { crafted(index) }
}

pub(crate) fn plain_slot(index: u8) -> B256 {
    B256::with_last_byte(index)
}

pub(crate) fn slot_key(index: u8) -> B256 {
    if index < PLAIN { keccak256(plain_slot(index)) } else { crafted(index) }
}

fn crafted(index: u8) -> B256 {
    let mut key = B256::ZERO;
    // Two bits choose each of three nibble pairs; what is left tells keys apart near the end.
    for (place, shift) in [(0, 0), (2, 2), (9, 4)] {
        key[place] = [0x00, 0x01, 0x10, 0xff][usize::from(index >> shift & 3)];
    }
    key[31] = index >> 6;
    key
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let account = 0..ACCOUNTS;
    prop_oneof![
        4 => (account.clone(), 1u8..4).prop_map(|(account, nonce)| Op::Set { account, nonce }),
        1 => (account.clone(), 0u8..3).prop_map(|(account, code)| Op::Deploy { account, code }),
        2 => account.clone().prop_map(|account| Op::Remove { account }),
        8 => (0u8..40, 0..ACCOUNTS, 0u8..3).prop_map(|(account, slot, value)| Op::Store { account, slot, value }),
        1 => (0u8..40).prop_map(|account| Op::Wipe { account }),
    ]
}

pub(crate) fn block() -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(op(), 0..25)
}

/// The operations as one block's changes on top of `state`.
pub(crate) fn changes(ops: &[Op], state: &MemoryState) -> HashedPostState {
    let mut changes = HashedPostState::default();
    for op in ops {
        apply(op, &mut changes, state);
    }
    changes
}

fn apply(op: &Op, changes: &mut HashedPostState, state: &MemoryState) {
    let current = |changes: &HashedPostState, key: &B256| match changes.accounts.get(key) {
        Some(account) => *account,
        None => state.accounts().get(key).copied(),
    };
    match *op {
        Op::Set { account, nonce } => {
            let key = account_key(account);
            let old = current(changes, &key).unwrap_or_default();
            let new = Account { nonce: nonce.into(), balance: U256::from(account), ..old };
            changes.accounts.insert(key, Some(new));
        }
        Op::Deploy { account, code } => {
            let key = account_key(account);
            let code_hash = changes.add_code(Bytes::from(vec![0xfe, code]));
            let old = current(changes, &key).unwrap_or_default();
            changes.accounts.insert(key, Some(Account { code_hash, ..old }));
        }
        Op::Remove { account } => {
            let key = account_key(account);
            changes.accounts.insert(key, None);
            changes.storages.insert(key, HashedStorage { wiped: true, ..Default::default() });
        }
        Op::Store { account, slot, value } => {
            let key = account_key(account);
            let old = current(changes, &key).unwrap_or(Account { nonce: 1, ..Default::default() });
            changes.accounts.insert(key, Some(old));
            changes.storages.entry(key).or_default().slots.insert(slot_key(slot), U256::from(value));
        }
        Op::Wipe { account } => {
            let key = account_key(account);
            if current(changes, &key).is_some() {
                changes.storages.insert(key, HashedStorage { wiped: true, ..Default::default() });
            }
        }
    }
}
