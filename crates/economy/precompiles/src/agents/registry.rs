//! Registration, and what an agent's owner can change.

use super::{HERE, ROOT, agent, owned, pool};
use crate::datanets::check_text;
use crate::host::{Halt, ensure};
use crate::layout::{self, agent as field};
use crate::machine::{Machine, next};
use crate::params::{self, Param};
use crate::storage::{Slot, versioned};
use alloy_primitives::U256;
use tributary_abi::IAgents::{
    AgentRegistered, AgentRetired, AgentRetiredFrom, BadKind, EndpointSet, OperatorSet, StakeTooLow, TooLong,
    ZeroAddress, registerCall, retireCall, retireReturn, setEndpointCall, setEndpointReturn, setOperatorCall,
    setOperatorReturn,
};

/// Operator, validator, autonomous.
const KINDS: u8 = 3;

pub(crate) fn register(m: &mut Machine<'_>, call: registerCall) -> Result<u64, Halt> {
    ensure!(call.kind < KINDS, BadKind { kind: call.kind });
    ensure!(!call.operator.is_zero(), ZeroAddress {});
    check_endpoint(m, &call.uri, &call.peerId)?;
    let assets = m.deposit()?;
    let required = params::amount(m, Param::MinStake)?;
    ensure!(assets >= required, StakeTooLow { required: U256::from(required), got: U256::from(assets) });
    let id = next(m.u64(ROOT, layout::agents::COUNT)?)?;
    m.set(ROOT, layout::agents::COUNT, id)?;
    let slot = m.entry(ROOT.of(layout::agents::AGENTS), id)?;
    let owner = m.caller;
    let head = field::KIND.put(field::OWNER.put_address(U256::ZERO, owner), call.kind);
    m.store(slot, field::REGISTERED_BLOCK.put(head, m.block))?;
    versioned::begin(m, slot.of(field::OPERATORS), call.operator.into_word().into())?;
    store_endpoint(m, slot, &call.uri, &call.peerId)?;
    m.emit(
        HERE,
        &AgentRegistered {
            id,
            kind: call.kind,
            owner,
            operator: call.operator,
            uri: call.uri,
            peerId: call.peerId,
        },
    )?;
    pool::deposit(m, id, slot, assets)?;
    Ok(id)
}

fn check_endpoint(m: &mut Machine<'_>, uri: &str, peer_id: &str) -> Result<(), Halt> {
    check_text(m, uri)?;
    let (length, max) = (peer_id.len() as u64, params::number(m, Param::MaxPeerIdBytes)?);
    ensure!(length <= max, TooLong { length: U256::from(length), max: U256::from(max) });
    Ok(())
}

fn store_endpoint(m: &mut Machine<'_>, slot: Slot, uri: &str, peer_id: &str) -> Result<(), Halt> {
    m.set_text(slot.of(field::URI), uri)?;
    m.set_text(slot.of(field::PEER_ID), peer_id)
}

pub(crate) fn set_operator(m: &mut Machine<'_>, call: setOperatorCall) -> Result<setOperatorReturn, Halt> {
    let (slot, _) = owned(m, call.id)?;
    ensure!(!call.operator.is_zero(), ZeroAddress {});
    let from = versioned::push(m, slot.of(field::OPERATORS), call.operator.into_word().into())?;
    m.emit(HERE, &OperatorSet { id: call.id, operator: call.operator, fromBlock: from })?;
    Ok(setOperatorReturn {})
}

pub(crate) fn set_endpoint(m: &mut Machine<'_>, call: setEndpointCall) -> Result<setEndpointReturn, Halt> {
    let (slot, _) = owned(m, call.id)?;
    check_endpoint(m, &call.uri, &call.peerId)?;
    store_endpoint(m, slot, &call.uri, &call.peerId)?;
    m.emit(HERE, &EndpointSet { id: call.id, uri: call.uri, peerId: call.peerId })?;
    Ok(setEndpointReturn {})
}

pub(crate) fn retire(m: &mut Machine<'_>, call: retireCall) -> Result<retireReturn, Halt> {
    let (slot, _) = owned(m, call.id)?;
    let retiring = m.u64(slot, field::RETIRED_FROM)? != 0;
    ensure!(!retiring, AgentRetired { id: call.id });
    retire_now(m, call.id)?;
    Ok(retireReturn {})
}

/// Retires an agent from the next block on, unless it is retiring already.
pub(super) fn retire_now(m: &mut Machine<'_>, id: u64) -> Result<(), Halt> {
    let (slot, _) = agent(m, id)?;
    let word = m.word(slot, field::RETIRED_FROM)?;
    if field::RETIRED_FROM.u64(word) != 0 {
        return Ok(());
    }
    let from = m.block.saturating_add(1);
    m.store(slot.of(field::RETIRED_FROM), field::RETIRED_FROM.put(word, from))?;
    m.emit(HERE, &AgentRetiredFrom { id, fromBlock: from })
}
