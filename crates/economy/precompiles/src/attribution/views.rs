//! What can be read of batches.

use super::finality::totals;
use super::{Batch, batch, batch_id, chain_slot};
use crate::gas;
use crate::host::{Halt, ensure, revert};
use crate::layout::{batch as field, chain};
use crate::machine::Machine;
use alloy_primitives::{B256, keccak256};
use tributary_abi::IAttribution::{
    BadProof, BadRecord, Batch as BatchView, Header, batchIdOfCall, batchOfCall, chainOfCall, chainOfReturn,
    getBatchCall, verifyPayoutCall, verifyRecordCall, verifyShareCall,
};
use tributary_record::{ALGO_ID, DEPTH_NARROW, DEPTH_WIDE, Record, merkle};

const PENDING: u8 = 1;
const FINAL: u8 = 2;
const VOID: u8 = 3;

pub(crate) fn get_batch(m: &mut Machine<'_>, call: getBatchCall) -> Result<BatchView, Halt> {
    let batch = batch(m, call.batchId)?;
    let challenge = m.word(batch.slot, field::CHALLENGER)?;
    Ok(BatchView {
        status: match (batch.is_final(), batch.void) {
            (true, _) => FINAL,
            (false, true) => VOID,
            (false, false) => PENDING,
        },
        refunded: field::REFUNDED.flag(batch.sizes),
        commitBlock: field::COMMIT_BLOCK.u64(batch.place),
        committedAt: field::COMMITTED_AT.u64(batch.sizes),
        deadline: batch.deadline(),
        bond: m.u128(batch.slot, field::BOND)?,
        daHash: m.b256(batch.slot, field::DA_HASH)?,
        debitsHash: m.b256(batch.slot, field::DEBITS_HASH)?,
        challenger: field::CHALLENGER.address(challenge),
        respondBy: field::RESPOND_BY.u64(challenge),
        published: field::PUBLISHED.u32(challenge),
        header: header(m, &batch)?,
        totals: totals(m, &batch)?,
    })
}

fn header(m: &mut Machine<'_>, batch: &Batch) -> Result<Header, Halt> {
    Ok(Header {
        agentId: batch.agent(),
        seq: batch.seq(),
        prevBatch: batch_id(m, batch.agent(), batch.seq() - 1)?,
        batchHash: m.b256(batch.slot, field::BATCH_HASH)?,
        nBytes: field::N_BYTES.u32(batch.sizes),
        nRecords: field::N_RECORDS.u32(batch.sizes),
        recordsRoot: m.b256(batch.slot, field::RECORDS_ROOT)?,
        payoutRoot: m.b256(batch.slot, field::PAYOUT_ROOT)?,
        nAccounts: field::N_ACCOUNTS.u32(batch.sizes),
        // The one algorithm that can be committed.
        algoId: ALGO_ID,
    })
}

pub(crate) fn batch_of(m: &mut Machine<'_>, call: batchOfCall) -> Result<B256, Halt> {
    batch_id(m, call.agentId, call.seq)
}

pub(crate) fn chain_of(m: &mut Machine<'_>, call: chainOfCall) -> Result<chainOfReturn, Halt> {
    let (slot, heads) = chain_slot(m, call.agentId)?;
    Ok(chainOfReturn {
        lastSeq: chain::LAST_SEQ.u64(heads),
        lastBatch: m.b256(slot, chain::LAST_BATCH)?,
        finalSeq: chain::FINAL_SEQ.u64(heads),
        voidFrom: match chain::VOID_FROM.u64(heads) {
            0 => u64::MAX,
            seq => seq,
        },
    })
}

pub(crate) fn batch_id_of(m: &mut Machine<'_>, call: batchIdOfCall) -> Result<B256, Halt> {
    super::commit::batch_id(m, &call.header)
}

fn proves_record(
    m: &mut Machine<'_>,
    id: B256,
    index: u32,
    record: &[u8],
    proof: &[B256],
) -> Result<bool, Halt> {
    let batch = batch(m, id)?;
    let root = m.b256(batch.slot, field::RECORDS_ROOT)?;
    m.charge(gas::keccak(record.len()))?;
    let leaf = (merkle::record_leaf(index, keccak256(record)), 2);
    m.proves(root, index, leaf, proof, DEPTH_NARROW)
}

pub(crate) fn verify_record(m: &mut Machine<'_>, call: verifyRecordCall) -> Result<bool, Halt> {
    proves_record(m, call.batchId, call.index, &call.record, &call.proof)
}

pub(crate) fn verify_share(m: &mut Machine<'_>, call: verifyShareCall) -> Result<u32, Halt> {
    let index = call.index;
    let proved = proves_record(m, call.batchId, index, &call.record, &call.proof)?;
    ensure!(proved, BadProof { index });
    m.charge(gas::RECORD_BYTE * call.record.len() as u64)?;
    let record = Record::decode(&call.record).map_err(|_| revert(BadRecord { index }))?;
    let share = record.shares.iter().find(|share| share.contribution == call.contributionId);
    Ok(share.map_or(0, |share| share.ppb))
}

pub(crate) fn verify_payout(m: &mut Machine<'_>, call: verifyPayoutCall) -> Result<bool, Halt> {
    let batch = batch(m, call.batchId)?;
    let root = m.b256(batch.slot, field::PAYOUT_ROOT)?;
    let leaf = (merkle::payout_leaf(call.index, call.account, call.cumulative), 3);
    m.proves(root, call.index, leaf, &call.proof, DEPTH_WIDE)
}
