//! The life of a channel.

use super::{CLOSED, CLOSING, HERE, OPEN, ROOT, channel, channel_id, nonce, status};
use crate::agents;
use crate::host::{Halt, ensure};
use crate::layout::{channel as field, settlement};
use crate::machine::{Machine, add, next, sub};
use crate::params::{self, Param};
use alloy_primitives::{B256, U256};
use tributary_abi::ISettlement::{
    AgentRetired, ChannelClosed, ChannelClosing, ChannelIsClosed, ChannelOpened, ChannelToppedUp,
    CloseRequested, CloseTooEarly, EmptyDeposit, NotClosing, NotPayer, WrongKind, ZeroAddress, closeCall,
    openCall, requestCloseCall, topUpCall, topUpReturn,
};

pub(crate) fn open(m: &mut Machine<'_>, call: openCall) -> Result<B256, Halt> {
    ensure!(!call.signer.is_zero(), ZeroAddress {});
    ensure!(!m.value.is_zero(), EmptyDeposit {});
    let deposit = m.deposit()?;
    let agent = agents::standing(m, call.agentId)?;
    ensure!(!agent.retiring, AgentRetired { id: call.agentId });
    ensure!(agent.kind != agents::VALIDATOR, WrongKind { id: call.agentId, kind: agent.kind });
    let payer = m.caller;
    let counter = m.entry(ROOT.of(settlement::CHANNEL_COUNTS), payer)?;
    let index = m.load(counter)?.as_limbs()[0];
    m.store(counter, U256::from(next(index)?))?;
    let nonce = nonce(m, index);
    let id = channel_id(m, call.agentId, payer, nonce)?;
    let slot = m.entry(ROOT.of(settlement::CHANNELS), id)?;
    let head = field::AGENT_ID.put(field::SIGNER.put_address(U256::ZERO, call.signer), call.agentId);
    m.store(slot, field::STATUS.put(head, OPEN))?;
    m.store(slot.of(field::PAYER), field::PAYER.put_address(U256::ZERO, payer))?;
    m.store(slot.of(field::DEPOSITED), field::DEPOSITED.put(U256::ZERO, deposit))?;
    m.emit(
        HERE,
        &ChannelOpened { channel: id, agentId: call.agentId, payer, signer: call.signer, nonce, deposit },
    )?;
    Ok(id)
}

pub(crate) fn top_up(m: &mut Machine<'_>, call: topUpCall) -> Result<topUpReturn, Halt> {
    let id = call.channel;
    let (slot, head) = channel(m, id)?;
    ensure!(status(head) != CLOSED, ChannelIsClosed { channel: id });
    ensure!(status(head) == OPEN, ChannelClosing { channel: id });
    ensure!(!m.value.is_zero(), EmptyDeposit {});
    let amount = m.deposit()?;
    let word = m.word(slot, field::DEPOSITED)?;
    let deposited = add(field::DEPOSITED.u128(word), amount)?;
    m.store(slot.of(field::DEPOSITED), field::DEPOSITED.put(word, deposited))?;
    let from = m.caller;
    m.emit(HERE, &ChannelToppedUp { channel: id, from, amount, deposited })?;
    Ok(topUpReturn {})
}

pub(crate) fn request_close(m: &mut Machine<'_>, call: requestCloseCall) -> Result<u64, Halt> {
    let id = call.channel;
    let (slot, head) = channel(m, id)?;
    let word = m.word(slot, field::PAYER)?;
    let payer = field::PAYER.address(word);
    ensure!(m.caller == payer, NotPayer { caller: m.caller, payer });
    ensure!(status(head) != CLOSED, ChannelIsClosed { channel: id });
    ensure!(status(head) == OPEN, ChannelClosing { channel: id });
    let close_at = m.now.saturating_add(params::number(m, Param::CloseDelay)?);
    m.store(slot, field::STATUS.put(head, CLOSING))?;
    m.store(slot.of(field::PAYER), field::CLOSE_AT.put(word, close_at))?;
    m.emit(HERE, &CloseRequested { channel: id, closeAt: close_at })?;
    Ok(close_at)
}

pub(crate) fn close(m: &mut Machine<'_>, call: closeCall) -> Result<u128, Halt> {
    let id = call.channel;
    let (slot, head) = channel(m, id)?;
    ensure!(status(head) != CLOSED, ChannelIsClosed { channel: id });
    ensure!(status(head) == CLOSING, NotClosing { channel: id });
    let word = m.word(slot, field::PAYER)?;
    let close_at = field::CLOSE_AT.u64(word);
    ensure!(m.now >= close_at, CloseTooEarly { closeAt: close_at });
    let payer = field::PAYER.address(word);
    let amounts = m.word(slot, field::DEPOSITED)?;
    let paid_back = sub(field::DEPOSITED.u128(amounts), field::SETTLED.u128(amounts))?;
    m.store(slot, field::STATUS.put(head, CLOSED))?;
    m.pay(HERE, payer, paid_back)?;
    m.emit(HERE, &ChannelClosed { channel: id, payer, paidBack: paid_back })?;
    Ok(paid_back)
}
