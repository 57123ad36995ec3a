//! How a batch ends: final, or lost.

use super::{Batch, HERE, chain_slot, pending};
use crate::agents;
use crate::host::{Halt, ensure};
use crate::layout::{batch as field, chain};
use crate::machine::{Machine, add, next};
use crate::params::{self, Param};
use crate::settlement;
use alloy_primitives::{Address, B256};
use tributary_abi::IAttribution::{
    BatchFinalized, BatchLost, ChallengeOpen, OutOfOrder, TooEarly, Totals, finalizeCall, finalizeReturn,
};
use tributary_abi::address::{AGENTS, SETTLEMENT};

pub(crate) fn finalize(m: &mut Machine<'_>, call: finalizeCall) -> Result<finalizeReturn, Halt> {
    let batch = pending(m, call.batchId)?;
    let (slot, heads) = chain_slot(m, batch.agent())?;
    let next_seq = next(chain::FINAL_SEQ.u64(heads))?;
    ensure!(batch.seq() == next_seq, OutOfOrder { nextSeq: next_seq });
    let respond_by = m.u64(batch.slot, field::RESPOND_BY)?;
    ensure!(respond_by == 0, ChallengeOpen { respondBy: respond_by });
    let deadline = batch.deadline();
    ensure!(m.now >= deadline, TooEarly { from: deadline });
    m.store(batch.slot.of(field::FINAL), field::FINAL.put(batch.sizes, 1u64))?;
    m.store(slot, chain::FINAL_SEQ.put(heads, next_seq))?;
    let totals = totals(m, &batch)?;
    pay_out(m, &batch, &totals)?;
    m.emit(HERE, &BatchFinalized { batchId: batch.id, agentId: batch.agent(), seq: batch.seq(), totals })?;
    if chain::VOID_FROM.u64(heads) == next(next_seq)? {
        agents::pay_reward(m, batch.agent())?;
    }
    Ok(finalizeReturn {})
}

/// The batch's totals as they were committed.
pub(super) fn totals(m: &mut Machine<'_>, batch: &Batch) -> Result<Totals, Halt> {
    let first = m.word(batch.slot, field::PLATFORM)?;
    let second = m.word(batch.slot, field::STAKERS)?;
    let third = m.word(batch.slot, field::TREASURY)?;
    let platform = field::PLATFORM.u128(first);
    let model = field::MODEL.u128(first);
    let stakers = field::STAKERS.u128(second);
    let contributors = field::CONTRIBUTORS.u128(second);
    let treasury = field::TREASURY.u128(third);
    let fees = [platform, model, stakers, contributors, treasury];
    let fees = fees.iter().try_fold(0, |sum, part| add(sum, *part))?;
    Ok(Totals { fees, platform, model, stakers, contributors, treasury })
}

/// Pays the platform and the treasury, the stakers through their pool, and opens the rest to claims.
fn pay_out(m: &mut Machine<'_>, batch: &Batch, totals: &Totals) -> Result<(), Halt> {
    let agent = batch.agent();
    let owner = agents::standing(m, agent)?.owner;
    m.pay(SETTLEMENT, owner, totals.platform)?;
    let mut treasury = totals.treasury;
    if agents::earn(m, agent, totals.stakers)? {
        m.pay(SETTLEMENT, AGENTS, totals.stakers)?;
    } else {
        treasury = add(treasury, totals.stakers)?;
    }
    if treasury > 0 {
        let account = params::address(m, Param::Treasury)?;
        m.pay(SETTLEMENT, account, treasury)?;
    }
    settlement::credit(m, agent, add(totals.model, totals.contributors)?)
}

/// The batch is lost to `challenger`: it and every later one are void, the agent is retired and slashed.
pub(super) fn lose(m: &mut Machine<'_>, batch: &Batch, challenger: Address) -> Result<(), Halt> {
    let (agent, seq) = (batch.agent(), batch.seq());
    let (slot, heads) = chain_slot(m, agent)?;
    // Only a batch that is not void can be lost, so `seq` is below any earlier `voidFrom`.
    m.store(slot, chain::VOID_FROM.put(heads, seq))?;
    let id: B256 = batch.id;
    agents::slash(m, agent, id, seq, challenger)?;
    m.emit(HERE, &BatchLost { batchId: id, agentId: agent, seq, challenger })?;
    if next(chain::FINAL_SEQ.u64(heads))? == seq {
        agents::pay_reward(m, agent)?;
    }
    Ok(())
}
