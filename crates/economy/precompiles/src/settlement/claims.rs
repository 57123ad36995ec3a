//! What final batches credit, and who takes it.

use super::{HERE, ROOT};
use crate::attribution;
use crate::host::{Halt, ensure, revert};
use crate::layout::{ledger, settlement};
use crate::machine::{Machine, add};
use crate::storage::Slot;
use alloy_primitives::{Address, U256};
use tributary_abi::ISettlement::{BadProof, Claimed, ExceedsFinal, NotFinal, NothingToClaim, claimCall};
use tributary_record::{DEPTH_WIDE, merkle};

pub(super) fn ledger_slot(m: &mut Machine<'_>, agent: u64) -> Result<Slot, Halt> {
    m.entry(ROOT.of(settlement::LEDGERS), agent)
}

pub(super) fn claimed_slot(m: &mut Machine<'_>, agent: u64, account: Address) -> Result<Slot, Halt> {
    let of_agent = m.entry(ROOT.of(settlement::CLAIMED), agent)?;
    m.entry(of_agent, account)
}

/// Opens an amount of a final batch to claims.
pub(crate) fn credit(m: &mut Machine<'_>, agent: u64, amount: u128) -> Result<(), Halt> {
    let slot = ledger_slot(m, agent)?;
    let word = m.load(slot)?;
    let credited = add(ledger::CREDITED.u128(word), amount)?;
    m.store(slot, ledger::CREDITED.put(word, credited))
}

pub(crate) fn claim(m: &mut Machine<'_>, call: claimCall) -> Result<u128, Halt> {
    let claimCall { agentId, seq, index, account, cumulative, proof } = call;
    let root = attribution::final_payout_root(m, agentId, seq)?;
    let root = root.ok_or_else(|| revert(NotFinal { agentId, seq }))?;
    let leaf = (merkle::payout_leaf(index, account, cumulative), 3);
    let proved = m.proves(root, index, leaf, &proof, DEPTH_WIDE)?;
    ensure!(proved, BadProof {});
    let mine = claimed_slot(m, agentId, account)?;
    let before = m.load(mine)?;
    let owed = cumulative.checked_sub(before).filter(|owed| !owed.is_zero());
    let had = crate::storage::low_u128(before);
    let owed = owed.ok_or_else(|| revert(NothingToClaim { claimed: had }))?;

    let slot = ledger_slot(m, agentId)?;
    let word = m.load(slot)?;
    let (credited, claimed) = (ledger::CREDITED.u128(word), ledger::CLAIMED.u128(word));
    let within = U256::from(claimed).checked_add(owed).is_some_and(|sum| sum <= U256::from(credited));
    ensure!(within, ExceedsFinal { claimed, credited });
    let amount = crate::storage::low_u128(owed);
    m.store(slot, ledger::CLAIMED.put(word, add(claimed, amount)?))?;
    let cumulative = add(had, amount)?;
    m.store(mine, U256::from(cumulative))?;
    m.pay(HERE, account, amount)?;
    m.emit(HERE, &Claimed { agentId, account, seq, amount, cumulative })?;
    Ok(amount)
}
