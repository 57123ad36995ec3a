//! Parameters.

use crate::world::{GOVERNOR, Refused, World};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;
use tributary_abi::IParams::*;
use tributary_precompiles::{PARAMS, key_of};

fn set(name: &str, value: u64) -> setCall {
    setCall { key: key_of(name), value: U256::from(value) }
}

#[test]
fn a_write_holds_from_the_next_block_on_and_the_past_stays() {
    let mut w = World::new();
    let at = |w: &mut World, block| {
        w.params(GOVERNOR, atCall { key: key_of("tokenFee"), blockNumber: block }).unwrap()
    };
    let start = w.block;
    w.params(GOVERNOR, set("tokenFee", 7)).unwrap();
    let event = ParamSet::decode_log_data(&w.last_logs[0].data).unwrap();
    assert_eq!((event.key, event.value, event.fromBlock), (key_of("tokenFee"), U256::from(7), start + 1));
    let old = U256::from(1_000_000_000);
    assert_eq!(w.params(GOVERNOR, getCall { key: key_of("tokenFee") }).unwrap(), old);
    // A second write of the same block replaces the first.
    w.params(GOVERNOR, set("tokenFee", 8)).unwrap();
    w.next_block();
    assert_eq!(w.params(GOVERNOR, getCall { key: key_of("tokenFee") }).unwrap(), U256::from(8));
    assert_eq!(at(&mut w, start), old);
    assert_eq!(at(&mut w, 0), old);
    assert_eq!(at(&mut w, u64::MAX), U256::from(8));
    let all = w.params(GOVERNOR, allCall {}).unwrap();
    assert_eq!(all.len(), PARAMS.len());
    assert!(all.contains(&Param { key: key_of("tokenFee"), value: U256::from(8) }));
    let before = w.params(GOVERNOR, allAtCall { blockNumber: start }).unwrap();
    assert!(before.contains(&Param { key: key_of("tokenFee"), value: old }));
}

#[test]
fn shares_change_together() {
    let mut w = World::new();
    let keys: Vec<B256> = ["betaBps", "gammaBps", "deltaBps"].map(key_of).to_vec();
    let values = |parts: [u64; 3]| parts.map(U256::from).to_vec();
    let wrong = setManyCall { keys: keys.clone(), values: values([3_000, 1_000, 5_999]) };
    w.params(GOVERNOR, wrong).refused(Inconsistent { rule: key_of("split") });
    w.params(GOVERNOR, set("betaBps", 2_501)).refused(Inconsistent { rule: key_of("split") });
    w.params(GOVERNOR, setManyCall { keys: keys.clone(), values: values([3_000, 1_000, 6_000]) }).unwrap();
    w.params(GOVERNOR, setManyCall { keys, values: values([1, 2, 3])[..2].to_vec() })
        .refused(LengthMismatch { left: U256::from(3), right: U256::from(2) });
    w.params(GOVERNOR, setManyCall { keys: vec![], values: vec![] })
        .refused(LengthMismatch { left: U256::ZERO, right: U256::ZERO });
}

#[test]
fn what_set_refuses() {
    let mut w = World::new();
    let someone = w.wallet("someone").address;
    w.params(someone, set("tokenFee", 7)).refused(NotGovernor { caller: someone });
    w.params(GOVERNOR, set("tokenfee", 7)).refused(UnknownKey { key: key_of("tokenfee") });
    w.params(GOVERNOR, getCall { key: B256::ZERO }).refused(UnknownKey { key: B256::ZERO });
    w.params(GOVERNOR, set("betaBps", 10_001)).refused(OutOfRange {
        key: key_of("betaBps"),
        value: U256::from(10_001),
        min: U256::ZERO,
        max: U256::from(10_000),
    });
    let no_address = setCall { key: key_of("treasury"), value: U256::from(1) << 160 };
    w.params(GOVERNOR, no_address).refused(OutOfRange {
        key: key_of("treasury"),
        value: U256::from(1) << 160,
        min: U256::ONE,
        max: (U256::from(1) << 160) - U256::ONE,
    });
    w.params(GOVERNOR, set("closeDelay", 604)).refused(Inconsistent { rule: key_of("closeDelay") });
    w.params(GOVERNOR, set("unstakeCooldown", 19)).refused(Inconsistent { rule: key_of("unstakeCooldown") });
}

#[test]
fn every_value_is_within_its_range_at_genesis() {
    let mut w = World::new();
    for param in w.params(GOVERNOR, allCall {}).unwrap() {
        let spec = PARAMS.iter().find(|spec| spec.key() == param.key).unwrap();
        let (min, max) = spec.range();
        assert!((min..=max).contains(&param.value), "{}", spec.name);
    }
}

#[test]
fn the_governor_can_hand_over() {
    let mut w = World::new();
    let heir = w.wallet("heir").address;
    let value = U256::from_be_bytes(heir.into_word().0);
    w.params(GOVERNOR, setCall { key: key_of("governor"), value }).unwrap();
    w.params(heir, set("tokenFee", 1)).refused(NotGovernor { caller: heir });
    w.next_block();
    w.params(heir, set("tokenFee", 1)).unwrap();
    w.params(GOVERNOR, set("tokenFee", 1)).refused(NotGovernor { caller: GOVERNOR });
    assert_ne!(heir, Address::ZERO);
}

pub(crate) fn provoke_all() {
    a_write_holds_from_the_next_block_on_and_the_past_stays();
    shares_change_together();
    what_set_refuses();
}
