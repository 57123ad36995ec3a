//! The rules that hold for every function: direct calls, static calls, value, selectors, calldata.

use crate::fixture::{DATANET_FEE, datanet};
use crate::world::{CONFIG, GOVERNOR, OPEN, REFUSED, Refused, World};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolError};
use tributary_abi::address::{ALL, DATANETS, PARAMS};
use tributary_abi::{IDatanets, IParams};
use tributary_precompiles::{EconomyConfig, key_of};

const CALL: u8 = 0xf1;
const CALLCODE: u8 = 0xf2;
const DELEGATECALL: u8 = 0xf4;
const STATICCALL: u8 = 0xfa;

/// A contract that forwards its calldata and value with an opcode, and hands back what comes, or reverts after all.
fn forwarder(opcode: u8, target: Address, undo: bool) -> Vec<u8> {
    let mut code = vec![0x36, 0x5f, 0x5f, 0x37, 0x5f, 0x5f, 0x36, 0x5f];
    if opcode == CALL || opcode == CALLCODE {
        code.push(0x34);
    }
    code.push(0x73);
    code.extend_from_slice(target.as_slice());
    code.extend_from_slice(&[0x5a, opcode, 0x3d, 0x5f, 0x5f, 0x3e]);
    if undo {
        code.extend_from_slice(&[0x3d, 0x5f, 0xfd]);
    } else {
        let to = code.len() as u8 + 6;
        code.extend_from_slice(&[0x60, to, 0x57, 0x3d, 0x5f, 0xfd, 0x5b, 0x3d, 0x5f, 0xf3]);
    }
    code
}

fn through(w: &mut World, opcode: u8, target: Address, value: u128, data: &[u8]) -> Result<Bytes, Bytes> {
    let contract = Address::repeat_byte(0xc0);
    w.deploy(contract, forwarder(opcode, target, false));
    let sender = w.wallet("sender").address;
    w.evm(sender, contract, value, data).map(|done| done.output)
}

fn create() -> Vec<u8> {
    IDatanets::createCall { name: "a".into(), uri: String::new(), tokenizerHash: B256::ZERO, minMatch: 8 }
        .abi_encode()
}

#[test]
fn delegatecall_and_callcode_are_refused_before_the_selector_is_read() {
    let mut w = World::new();
    for target in ALL {
        for opcode in [DELEGATECALL, CALLCODE] {
            for data in [&b""[..], &[1, 2, 3], &[0xff; 36], &IParams::allCall {}.abi_encode(), &create()] {
                through(&mut w, opcode, target, 0, data).refused(IDatanets::NotDirectCall {});
            }
        }
    }
    // With value too, which CALLCODE keeps in the caller.
    through(&mut w, CALLCODE, DATANETS, DATANET_FEE, &create()).refused(IDatanets::NotDirectCall {});
}

#[test]
fn staticcall_reads_and_changes_nothing() {
    let mut w = World::new();
    let all = through(&mut w, STATICCALL, PARAMS, 0, &IParams::allCall {}.abi_encode()).unwrap();
    assert!(IParams::allCall::abi_decode_returns(&all).unwrap().len() > 20);
    through(&mut w, STATICCALL, DATANETS, 0, &create()).refused(IDatanets::StaticCall {});
    let set = IParams::setCall { key: key_of("tokenFee"), value: U256::ONE };
    through(&mut w, STATICCALL, PARAMS, 0, &set.abi_encode()).refused(IParams::StaticCall {});
    // What does not exist is not there for anyone.
    through(&mut w, STATICCALL, DATANETS, 0, &[1; 4]).refused(IDatanets::UnknownSelector {});
}

#[test]
fn a_contract_can_call_and_is_the_caller() {
    let mut w = World::new();
    let output = through(&mut w, CALL, DATANETS, DATANET_FEE, &create()).unwrap();
    assert_eq!(IDatanets::createCall::abi_decode_returns(&output).unwrap(), 1);
    let got = w.evm(GOVERNOR, DATANETS, 0, &IDatanets::getCall { id: 1 }.abi_encode()).unwrap();
    assert_eq!(
        IDatanets::getCall::abi_decode_returns(&got.output).unwrap().owner,
        Address::repeat_byte(0xc0)
    );
}

#[test]
fn a_revert_above_undoes_storage_balances_and_logs() {
    let mut w = World::new();
    let contract = Address::repeat_byte(0xc1);
    w.deploy(contract, forwarder(CALL, DATANETS, true));
    let sender = w.wallet("sender").address;
    let before = w.db.cache.accounts[&DATANETS].clone();
    w.evm(sender, contract, DATANET_FEE, &create()).unwrap_err();
    let after = &w.db.cache.accounts[&DATANETS];
    assert!(after.storage.values().all(U256::is_zero));
    assert_eq!(after.info, before.info);
    let treasury = w.db.cache.accounts.get(&crate::world::TREASURY);
    assert!(treasury.is_none_or(|account| account.info.balance.is_zero()));
}

#[test]
fn value_where_none_is_taken() {
    let mut w = World::new();
    let sender = w.wallet("sender").address;
    w.raw(sender, PARAMS, 1, &IParams::allCall {}.abi_encode()).refused(IParams::NonPayable {});
    let call = IDatanets::commitCall { id: 1, commitment: B256::ZERO };
    w.raw(sender, DATANETS, 1, &call.abi_encode()).refused(IDatanets::NonPayable {});
}

#[test]
fn what_is_no_function() {
    let mut w = World::new();
    let sender = w.wallet("sender").address;
    for target in ALL {
        for data in [&b""[..], &[1], &[1, 2, 3], &[1, 2, 3, 4], &[0; 68]] {
            w.raw(sender, target, 0, data).refused(IDatanets::UnknownSelector {});
        }
        // A plain transfer must not disappear into an account that nobody has the key of.
        w.raw(sender, target, OPEN, b"").refused(IDatanets::UnknownSelector {});
    }
}

#[test]
fn nothing_exists_before_its_time() {
    for economy_time in [None, Some(1_000_000)] {
        let mut w = World::with_config(EconomyConfig { economy_time, ..CONFIG });
        let sender = w.wallet("sender").address;
        w.raw(sender, PARAMS, 0, &IParams::allCall {}.abi_encode()).refused(IParams::UnknownSelector {});
        if economy_time.is_some() {
            w.pass(1_000_000);
            w.raw(sender, PARAMS, 0, &IParams::allCall {}.abi_encode()).unwrap();
        }
    }
}

#[test]
fn calldata_is_canonical_or_refused() {
    let mut w = World::new();
    let sender = w.wallet("sender").address;
    let good = create();
    let mut overlapping = good.clone();
    // Both texts at the same place.
    overlapping.copy_within(4..36, 36);
    let mut endless = good.clone();
    endless[4..36].copy_from_slice(&[0xff; 32]);
    let mut wide = good.clone();
    // minMatch with bits above its 32.
    wide[4 + 3 * 32] = 1;
    let mut no_utf8 = good.clone();
    no_utf8[4 + 5 * 32] = 0xff;
    for bad in [&good[..good.len() - 1], &good[..40], &overlapping, &endless, &wide, &no_utf8] {
        w.raw(sender, DATANETS, DATANET_FEE, bad).refused(IDatanets::BadCalldata {});
    }
    // Bytes behind the arguments do no harm, as in Solidity.
    let more = [&good[..], &[7; 33]].concat();
    w.raw(sender, DATANETS, DATANET_FEE, &more).unwrap();
}

#[test]
fn too_little_gas_changes_nothing_and_costs_all_of_it() {
    let mut w = World::new();
    let sender = w.wallet("sender").address;
    let data = create();
    let needed = w.evm(sender, DATANETS, DATANET_FEE, &data).unwrap().gas;
    let mut w = World::new();
    w.wallet("sender");
    for gas in [24_000, needed / 2, needed - 3_000] {
        let (why, used) = w.evm_with_gas(sender, DATANETS, DATANET_FEE, &data, gas).unwrap_err();
        assert!(String::from_utf8_lossy(&why).contains("OutOfGas"), "{why}");
        assert_eq!(used, gas);
        assert!(w.db.cache.accounts[&DATANETS].storage.values().all(U256::is_zero));
    }
    let again = w.evm_with_gas(sender, DATANETS, DATANET_FEE, &data, needed).unwrap();
    assert_eq!(again.gas, needed);
}

#[test]
fn money_forced_in_belongs_to_nobody() {
    let mut w = World::new();
    let owner = w.wallet("owner").address;
    w.memory.set_balance(DATANETS, U256::from(5));
    w.db.cache.accounts.get_mut(&DATANETS).unwrap().info.balance = U256::from(5);
    datanet(&mut w, owner);
    assert_eq!(w.balance(DATANETS), 5);
}

pub(crate) fn provoke_all() {
    delegatecall_and_callcode_are_refused_before_the_selector_is_read();
    staticcall_reads_and_changes_nothing();
    value_where_none_is_taken();
    what_is_no_function();
    calldata_is_canonical_or_refused();
    assert!(REFUSED.lock().unwrap().contains(&IDatanets::StaticCall::SELECTOR));
}
