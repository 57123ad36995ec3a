//! What losing a batch costs.

use super::registry::retire_now;
use super::{HERE, agent, pool, position_slot};
use crate::host::Halt;
use crate::layout::{agent as field, position};
use crate::machine::Machine;
use crate::storage::Slot;
use alloy_primitives::{Address, B256, address};
use tributary_abi::IAgents::{RewardDue, RewardPaid, Slashed};

/// Where burned stake goes: nobody has its key.
const BURNED: Address = address!("0x000000000000000000000000000000000000dEaD");

/// Retires the agent and, the first time, slashes the whole pool; the reward is then due to `challenger`, who
/// made it lose batch `seq`, its lowest so far.
pub(crate) fn slash(
    m: &mut Machine<'_>,
    id: u64,
    batch: B256,
    seq: u64,
    challenger: Address,
) -> Result<(), Halt> {
    let (slot, head) = agent(m, id)?;
    retire_now(m, id)?;
    if !field::SLASHED.flag(head) {
        m.store(slot, field::SLASHED.put(head, 1u64))?;
        empty_pool(m, id, slot, field::OWNER.address(head), batch)?;
    }
    let word = m.word(slot, field::CHALLENGER)?;
    let word = field::CHALLENGED_SEQ.put(field::CHALLENGER.put_address(word, challenger), seq);
    m.store(slot.of(field::CHALLENGER), word)?;
    m.emit(HERE, &RewardDue { id, challenger, seq })
}

/// Burns the pool but for the reward: half of the owner's own stake, so that slashing oneself never pays.
fn empty_pool(m: &mut Machine<'_>, id: u64, slot: Slot, owner: Address, batch: B256) -> Result<(), Halt> {
    let of_owner = position_slot(m, id, owner)?;
    let shares = m.u128(of_owner, position::SHARES)?;
    let own = pool::value_of(m, slot, shares)?;
    let word = m.word(slot, field::ASSETS)?;
    let assets = field::ASSETS.u128(word);
    let reward = (own / 2).min(assets);
    m.store(slot.of(field::ASSETS), field::ASSETS.put(word, 0u64))?;
    m.set(slot, field::REWARD, reward)?;
    let burned = assets - reward;
    m.pay(HERE, BURNED, burned)?;
    m.emit(HERE, &Slashed { id, batchId: batch, reward, burned })
}

/// Pays the reward to whom it is due; called when no earlier batch is pending.
pub(crate) fn pay_reward(m: &mut Machine<'_>, id: u64) -> Result<(), Halt> {
    let (slot, _) = agent(m, id)?;
    let amount = m.u128(slot, field::REWARD)?;
    if amount == 0 {
        return Ok(());
    }
    let challenger = m.address(slot, field::CHALLENGER)?;
    m.set(slot, field::REWARD, 0u64)?;
    m.pay(HERE, challenger, amount)?;
    m.emit(HERE, &RewardPaid { id, challenger, amount })
}
