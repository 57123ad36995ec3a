//! The functions of `IParams`.

use super::{HERE, Param, check_rules, list};
use crate::host::{Halt, ensure, revert};
use crate::machine::Machine;
use crate::params::table::ALL;
use crate::storage::{low_u128, versioned};
use alloy_primitives::{B256, U256};
use tributary_abi::IParams::{
    Inconsistent, LengthMismatch, NotGovernor, OutOfRange, Param as IParam, ParamSet, UnknownKey, allAtCall,
    allCall, atCall, getCall, setCall, setManyCall, setManyReturn, setReturn,
};

fn find(key: B256) -> Result<Param, Halt> {
    ALL.iter().copied().find(|param| param.spec().key() == key).ok_or_else(|| revert(UnknownKey { key }))
}

pub(crate) fn get(m: &mut Machine<'_>, call: getCall) -> Result<U256, Halt> {
    let block = m.block;
    super::at(m, find(call.key)?, block)
}

pub(crate) fn at_block(m: &mut Machine<'_>, call: atCall) -> Result<U256, Halt> {
    super::at(m, find(call.key)?, call.blockNumber)
}

pub(crate) fn all(m: &mut Machine<'_>, _: allCall) -> Result<Vec<IParam>, Halt> {
    let block = m.block;
    every(m, block)
}

pub(crate) fn all_at(m: &mut Machine<'_>, call: allAtCall) -> Result<Vec<IParam>, Halt> {
    every(m, call.blockNumber)
}

fn every(m: &mut Machine<'_>, block: u64) -> Result<Vec<IParam>, Halt> {
    ALL.iter()
        .map(|param| Ok(IParam { key: param.spec().key(), value: super::at(m, *param, block)? }))
        .collect()
}

pub(crate) fn set(m: &mut Machine<'_>, call: setCall) -> Result<setReturn, Halt> {
    write(m, &[(call.key, call.value)])?;
    Ok(setReturn {})
}

pub(crate) fn set_many(m: &mut Machine<'_>, call: setManyCall) -> Result<setManyReturn, Halt> {
    let (left, right) = (call.keys.len(), call.values.len());
    ensure!(left == right && left > 0, LengthMismatch { left: U256::from(left), right: U256::from(right) });
    let pairs: Vec<_> = call.keys.into_iter().zip(call.values).collect();
    write(m, &pairs)?;
    Ok(setManyReturn {})
}

fn write(m: &mut Machine<'_>, pairs: &[(B256, U256)]) -> Result<(), Halt> {
    let governor = super::address(m, Param::Governor)?;
    ensure!(m.caller == governor, NotGovernor { caller: m.caller });
    for (key, value) in pairs {
        let param = find(*key)?;
        let (min, max) = param.spec().range();
        ensure!((min..=max).contains(value), OutOfRange { key: *key, value: *value, min, max });
        let list = list(m, param)?;
        let from = versioned::push(m, list, *value)?;
        m.emit(HERE, &ParamSet { key: *key, value: *value, fromBlock: from })?;
    }
    let dev = m.config.dev;
    let broken = check_rules(dev, |param| {
        let list = list(m, param)?;
        Ok(low_u128(versioned::latest(m, list)?.unwrap_or_default()))
    })?;
    match broken {
        Some(rule) => Err(revert(Inconsistent { rule })),
        None => Ok(()),
    }
}
