//! What can be read of agents.

use super::{ROOT, agent, earning, operator, pool, position_slot, retired_by};
use crate::host::Halt;
use crate::layout::{agent as field, agents, position as held};
use crate::machine::{Machine, add};
use alloy_primitives::Address;
use tributary_abi::IAgents::{
    Agent, Position, countCall, getCall, operatorAtCall, positionCall, retiredAtCall, rewardOfCall,
    rewardOfReturn,
};

pub(crate) fn count(m: &mut Machine<'_>, _: countCall) -> Result<u64, Halt> {
    m.u64(ROOT, agents::COUNT)
}

pub(crate) fn get(m: &mut Machine<'_>, call: getCall) -> Result<Agent, Halt> {
    let (slot, head) = agent(m, call.id)?;
    let owner = field::OWNER.address(head);
    let totals = m.word(slot, field::ASSETS)?;
    let of_owner = position_slot(m, call.id, owner)?;
    let owner_shares = m.u128(of_owner, held::SHARES)?;
    let block = m.block;
    let earning = m.u128(slot, field::EARNING_SHARES)?;
    Ok(Agent {
        id: call.id,
        kind: field::KIND.u64(head) as u8,
        owner,
        operator: operator(m, slot, block)?,
        uri: m.text(slot.of(field::URI))?,
        peerId: m.text(slot.of(field::PEER_ID))?,
        registeredBlock: field::REGISTERED_BLOCK.u64(head),
        retiredFrom: m.u64(slot, field::RETIRED_FROM)?,
        slashed: field::SLASHED.flag(head),
        assets: field::ASSETS.u128(totals),
        shares: field::SHARES.u128(totals),
        earningShares: add(earning, earning::due_shares(m, slot)?)?,
        ownerStake: pool::value_of(m, slot, owner_shares)?,
    })
}

pub(crate) fn position(m: &mut Machine<'_>, call: positionCall) -> Result<Position, Halt> {
    let (slot, _) = agent(m, call.id)?;
    let mine = position_slot(m, call.id, call.account)?;
    let shares = m.u128(mine, held::SHARES)?;
    let cooling = m.word(mine, held::UNSTAKING)?;
    let (earned, earning) = earning::peek(m, slot, mine)?;
    Ok(Position {
        shares,
        earningShares: earning,
        unstaking: held::UNSTAKING.u128(cooling),
        readyAt: held::READY_AT.u64(cooling),
        value: pool::value_of(m, slot, shares)?,
        earned: earning::whole(earned)?,
    })
}

pub(crate) fn operator_at(m: &mut Machine<'_>, call: operatorAtCall) -> Result<Address, Halt> {
    let (slot, _) = agent(m, call.id)?;
    operator(m, slot, call.blockNumber)
}

pub(crate) fn retired_at(m: &mut Machine<'_>, call: retiredAtCall) -> Result<bool, Halt> {
    let (slot, _) = agent(m, call.id)?;
    Ok(retired_by(m.u64(slot, field::RETIRED_FROM)?, call.blockNumber))
}

pub(crate) fn reward_of(m: &mut Machine<'_>, call: rewardOfCall) -> Result<rewardOfReturn, Halt> {
    let (slot, _) = agent(m, call.id)?;
    let word = m.word(slot, field::CHALLENGER)?;
    Ok(rewardOfReturn {
        challenger: field::CHALLENGER.address(word),
        seq: field::CHALLENGED_SEQ.u64(word),
        amount: m.u128(slot, field::REWARD)?,
    })
}
