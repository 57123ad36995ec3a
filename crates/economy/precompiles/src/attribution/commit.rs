//! Committing a batch.

use super::{HERE, ROOT, chain_slot};
use crate::agents;
use crate::gas;
use crate::host::{Halt, ensure};
use crate::layout::{attribution, batch as field, chain};
use crate::machine::{Machine, add, next, overflow};
use crate::params::{self, Param};
use crate::settlement::{self, Debited};
use crate::storage::Slot;
use alloy_primitives::{B256, U256};
use tributary_abi::IAttribution::{
    AgentRetired, BadRecordCount, BatchCommitted, BatchTooLarge, ChannelAmount, Debit, Header,
    LengthMismatch, NotAscending, NotOperator, StakeTooLow, TooLong, TooManyChannels, Totals, TotalsMismatch,
    UnknownAlgo, WrongKind, WrongParent, commitBatchCall,
};
use tributary_record::{ALGO_ID, DEPTH_NARROW};

pub(crate) fn commit_batch(m: &mut Machine<'_>, call: commitBatchCall) -> Result<B256, Halt> {
    let commitBatchCall { header, daCommitment, debits, signatures, totals } = call;
    let chain = check_agent(m, &header)?;
    check_header(m, &header)?;
    let max = params::number(m, Param::MaxDaCommitmentBytes)?;
    let length = daCommitment.len() as u64;
    ensure!(length <= max, TooLong { length: U256::from(length), max: U256::from(max) });
    check_totals(&totals, &debits)?;
    let debited = take(m, header.agentId, &debits, &signatures)?;

    let id = batch_id(m, &header)?;
    let da_hash = m.keccak(&daCommitment)?;
    let debits_hash = settlement::debits_hash(m, &debited)?;
    let (deadline, bond) = store(m, id, &header, &totals, (da_hash, debits_hash))?;
    advance(m, chain, &header, id)?;
    m.emit(
        HERE,
        &BatchCommitted {
            batchId: id,
            agentId: header.agentId,
            seq: header.seq,
            header,
            daCommitment,
            debits: debited.into_iter().map(|(channel, amount)| ChannelAmount { channel, amount }).collect(),
            totals,
            deadline,
            bond,
        },
    )?;
    Ok(id)
}

/// An active agent's operator commits the batch after its last.
fn check_agent(m: &mut Machine<'_>, header: &Header) -> Result<(Slot, U256), Halt> {
    let id = header.agentId;
    let standing = agents::standing(m, id)?;
    let operator = agents::operator_now(m, &standing)?;
    ensure!(m.caller == operator, NotOperator { caller: m.caller, operator });
    ensure!(standing.kind != agents::VALIDATOR, WrongKind { id, kind: standing.kind });
    let (slot, heads) = chain_slot(m, id)?;
    let active = !standing.retired && chain::VOID_FROM.u64(heads) == 0;
    ensure!(active, AgentRetired { id });
    let (stake, required) = agents::owner_stake(m, id, &standing)?;
    ensure!(stake >= required, StakeTooLow { required: U256::from(required), got: U256::from(stake) });
    let seq = next(chain::LAST_SEQ.u64(heads))?;
    let last = m.b256(slot, chain::LAST_BATCH)?;
    ensure!(header.seq == seq && header.prevBatch == last, WrongParent { seq, prevBatch: last });
    Ok((slot, heads))
}

fn check_header(m: &mut Machine<'_>, header: &Header) -> Result<(), Halt> {
    ensure!(header.algoId == ALGO_ID, UnknownAlgo { algoId: header.algoId });
    let records = header.nRecords;
    ensure!((1..=1 << DEPTH_NARROW).contains(&records), BadRecordCount { nRecords: records });
    let max = params::number(m, Param::MaxBatchBytes)?;
    let bytes = u64::from(header.nBytes);
    ensure!(bytes <= max, BatchTooLarge { nBytes: U256::from(bytes), max: U256::from(max) });
    Ok(())
}

/// Σ amounts = fees = the sum of the other five.
fn check_totals(totals: &Totals, debits: &[Debit]) -> Result<(), Halt> {
    let parts = [totals.platform, totals.model, totals.stakers, totals.contributors, totals.treasury];
    let parts = parts.iter().try_fold(0, |sum, part| add(sum, *part))?;
    let fees = totals.fees;
    let got = U256::from(fees);
    ensure!(parts == fees, TotalsMismatch { expected: U256::from(parts), got });
    let amounts = settlement::sum(debits)?;
    ensure!(amounts == fees, TotalsMismatch { expected: U256::from(amounts), got });
    Ok(())
}

/// Takes every debit from its channel, in strictly ascending order.
fn take(
    m: &mut Machine<'_>,
    agent: u64,
    debits: &[Debit],
    signatures: &[alloy_primitives::Bytes],
) -> Result<Vec<Debited>, Halt> {
    let (left, right) = (debits.len(), signatures.len());
    ensure!(left == right, LengthMismatch { left: U256::from(left), right: U256::from(right) });
    let max = params::number(m, Param::MaxChannels)?;
    ensure!(left as u64 <= max, TooManyChannels { channels: U256::from(left), max: U256::from(max) });
    let mut before = None;
    let mut debited = Vec::with_capacity(left);
    for (index, (debit, signature)) in debits.iter().zip(signatures).enumerate() {
        ensure!(before < Some(debit.channel), NotAscending { index: U256::from(index) });
        before = Some(debit.channel);
        settlement::redeem(m, agent, debit, signature)?;
        debited.push((debit.channel, debit.amount));
    }
    Ok(debited)
}

/// hash(abi.encode(chainId, header))
pub(super) fn batch_id(m: &mut Machine<'_>, header: &Header) -> Result<B256, Halt> {
    m.charge(gas::keccak(11 * 32))?;
    let header = tributary_record::Header {
        agent_id: header.agentId,
        seq: header.seq,
        prev_batch: header.prevBatch,
        batch_hash: header.batchHash,
        n_bytes: header.nBytes,
        n_records: header.nRecords,
        records_root: header.recordsRoot,
        payout_root: header.payoutRoot,
        n_accounts: header.nAccounts,
        algo_id: header.algoId,
    };
    Ok(header.batch_id(m.config.chain_id))
}

/// Stores the batch with the deadlines and the bond of this block; returns the deadline and the bond.
fn store(
    m: &mut Machine<'_>,
    id: B256,
    header: &Header,
    totals: &Totals,
    (da_hash, debits_hash): (B256, B256),
) -> Result<(u64, u128), Halt> {
    let slot = m.entry(ROOT.of(attribution::BATCHES), id)?;
    let deadline = m.now.saturating_add(params::number(m, Param::ChallengeWindow)?);
    let bond = bond(m, header.nBytes)?;
    let place = field::SEQ.put(field::AGENT_ID.put(U256::ZERO, header.agentId), header.seq);
    m.store(slot, field::COMMIT_BLOCK.put(field::DEADLINE.put(place, deadline), m.block))?;
    let sizes = field::N_BYTES.put(field::COMMITTED_AT.put(U256::ZERO, m.now), header.nBytes);
    let sizes = field::N_ACCOUNTS.put(field::N_RECORDS.put(sizes, header.nRecords), header.nAccounts);
    let sizes = field::RESPONSE_WINDOW.put(sizes, params::number(m, Param::ResponseWindow)?);
    let sizes = field::DISPUTE_EXTENSION.put(sizes, params::number(m, Param::DisputeExtension)?);
    m.store(slot.of(field::N_BYTES), sizes)?;
    for (field, hash) in [
        (field::BATCH_HASH, header.batchHash),
        (field::RECORDS_ROOT, header.recordsRoot),
        (field::PAYOUT_ROOT, header.payoutRoot),
        (field::DA_HASH, da_hash),
        (field::DEBITS_HASH, debits_hash),
    ] {
        m.set(slot, field, hash)?;
    }
    let pair = |low, high| U256::from(low) | (U256::from(high) << 128usize);
    m.store(slot.of(field::PLATFORM), pair(totals.platform, totals.model))?;
    m.store(slot.of(field::STAKERS), pair(totals.stakers, totals.contributors))?;
    m.store(slot.of(field::TREASURY), pair(totals.treasury, bond))?;
    Ok((deadline, bond))
}

fn bond(m: &mut Machine<'_>, bytes: u32) -> Result<u128, Halt> {
    let per_byte = params::amount(m, Param::BondPerByte)?;
    let variable = per_byte.checked_mul(u128::from(bytes)).ok_or_else(overflow)?;
    add(params::amount(m, Param::BondBase)?, variable)
}

/// Makes the batch the head of its agent's chain.
fn advance(m: &mut Machine<'_>, (slot, heads): (Slot, U256), header: &Header, id: B256) -> Result<(), Halt> {
    m.store(slot, chain::LAST_SEQ.put(heads, header.seq))?;
    m.set(slot, chain::LAST_BATCH, id)?;
    let of_agent = m.entry(ROOT.of(attribution::BATCH_IDS), header.agentId)?;
    let by_seq = m.entry(of_agent, header.seq)?;
    m.store(by_seq, id.into())
}
