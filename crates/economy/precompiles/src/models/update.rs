//! What an owner can change.

use super::register::rates_value;
use super::{HERE, is_retiring, model, owner};
use crate::datanets::check_text;
use crate::host::{Halt, ensure};
use crate::layout::model as field;
use crate::machine::Machine;
use crate::storage::{Slot, versioned};
use alloy_primitives::{Address, U256};
use tributary_abi::IModels::{
    ModelRetired, NotOffered, NotOwner, RatesSet, Retired, TransferOffered, Transferred, UriSet,
    acceptTransferCall, acceptTransferReturn, retireCall, retireReturn, setRatesCall, setRatesReturn,
    setUriCall, setUriReturn, transferCall, transferReturn,
};

/// A model of the caller: its slot and first word. Who accepted it in this block acts for it at once, or the old
/// owner could hand it on a second time.
fn owned(m: &mut Machine<'_>, id: u64) -> Result<(Slot, U256), Halt> {
    let (slot, head) = model(m, id)?;
    let owner = owner(m, slot, u64::MAX)?;
    ensure!(m.caller == owner, NotOwner { caller: m.caller, owner });
    Ok((slot, head))
}

pub(crate) fn set_rates(m: &mut Machine<'_>, call: setRatesCall) -> Result<setRatesReturn, Halt> {
    let (slot, head) = owned(m, call.id)?;
    ensure!(!is_retiring(head), ModelRetired { id: call.id });
    let value = rates_value(call.inRate, call.outRate);
    let from = versioned::push(m, slot.of(field::RATES), value)?;
    m.emit(HERE, &RatesSet { id: call.id, inRate: call.inRate, outRate: call.outRate, fromBlock: from })?;
    Ok(setRatesReturn {})
}

pub(crate) fn set_uri(m: &mut Machine<'_>, call: setUriCall) -> Result<setUriReturn, Halt> {
    let (slot, _) = owned(m, call.id)?;
    check_text(m, &call.uri)?;
    m.set_text(slot.of(field::URI), &call.uri)?;
    m.emit(HERE, &UriSet { id: call.id, uri: call.uri })?;
    Ok(setUriReturn {})
}

pub(crate) fn retire(m: &mut Machine<'_>, call: retireCall) -> Result<retireReturn, Halt> {
    let (slot, head) = owned(m, call.id)?;
    ensure!(!is_retiring(head), ModelRetired { id: call.id });
    let from = m.block.saturating_add(1);
    m.store(slot, field::RETIRED_FROM.put(head, from))?;
    m.emit(HERE, &Retired { id: call.id, fromBlock: from })?;
    Ok(retireReturn {})
}

pub(crate) fn transfer(m: &mut Machine<'_>, call: transferCall) -> Result<transferReturn, Halt> {
    let (slot, _) = owned(m, call.id)?;
    m.set(slot, field::PENDING_OWNER, call.to.into_word())?;
    let from = m.caller;
    m.emit(HERE, &TransferOffered { id: call.id, from, to: call.to })?;
    Ok(transferReturn {})
}

pub(crate) fn accept_transfer(
    m: &mut Machine<'_>,
    call: acceptTransferCall,
) -> Result<acceptTransferReturn, Halt> {
    let (slot, _) = model(m, call.id)?;
    let pending = m.address(slot, field::PENDING_OWNER)?;
    let offered = !pending.is_zero() && m.caller == pending;
    ensure!(offered, NotOffered { caller: m.caller, pendingOwner: pending });
    m.set(slot, field::PENDING_OWNER, Address::ZERO.into_word())?;
    let from = owner(m, slot, u64::MAX)?;
    let from_block = versioned::push(m, slot.of(field::OWNERS), pending.into_word().into())?;
    m.emit(HERE, &Transferred { id: call.id, from, to: pending, fromBlock: from_block })?;
    Ok(acceptTransferReturn {})
}
