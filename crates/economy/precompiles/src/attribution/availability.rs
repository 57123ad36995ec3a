//! Whoever doubts that a batch can be read asks for it; the operator puts it on chain, or loses.

use super::finality::lose;
use super::{Batch, HERE, batch, pending};
use crate::agents;
use crate::gas;
use crate::host::{Halt, ensure};
use crate::layout::batch as field;
use crate::machine::Machine;
use crate::params::{self, Param};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use tributary_abi::IAttribution::{
    AlreadyChallenged, AvailabilityAnswered, AvailabilityChallenged, BadProof, BondReturned, LengthMismatch,
    NotChallenged, NotOperator, RecordsPublished, SizeMismatch, TooEarly, TooLate, TooLong, WrongIndex,
    challengeAvailabilityCall, challengeAvailabilityReturn, publishCall, publishReturn, timeoutCall,
    timeoutReturn,
};
use tributary_record::{BatchBytes, DEPTH_NARROW, merkle};

/// Bytes of a record's length in a batch.
const LENGTH_BYTES: u64 = 4;

pub(crate) fn challenge_availability(
    m: &mut Machine<'_>,
    call: challengeAvailabilityCall,
) -> Result<challengeAvailabilityReturn, Halt> {
    let batch = pending(m, call.batchId)?;
    let word = m.word(batch.slot, field::CHALLENGER)?;
    let again = !field::CHALLENGER.address(word).is_zero();
    ensure!(!again, AlreadyChallenged { batchId: batch.id });
    let deadline = batch.deadline();
    ensure!(m.now < deadline, TooLate { deadline });
    let bond = m.u128(batch.slot, field::BOND)?;
    m.expect_value(bond)?;
    let window = u64::from(field::RESPONSE_WINDOW.u32(batch.sizes));
    let respond_by = m.now.saturating_add(window);
    let challenger = m.caller;
    let word = field::RESPOND_BY.put(field::CHALLENGER.put_address(word, challenger), respond_by);
    m.store(batch.slot.of(field::CHALLENGER), word)?;
    m.emit(HERE, &AvailabilityChallenged { batchId: batch.id, challenger, bond, respondBy: respond_by })?;
    Ok(challengeAvailabilityReturn {})
}

pub(crate) fn publish(m: &mut Machine<'_>, call: publishCall) -> Result<publishReturn, Halt> {
    let batch = pending(m, call.batchId)?;
    let standing = agents::standing(m, batch.agent())?;
    let operator = agents::operator_now(m, &standing)?;
    ensure!(m.caller == operator, NotOperator { caller: m.caller, operator });
    let word = m.word(batch.slot, field::CHALLENGER)?;
    let respond_by = field::RESPOND_BY.u64(word);
    ensure!(respond_by != 0, NotChallenged { batchId: batch.id });
    ensure!(m.now < respond_by, TooLate { deadline: respond_by });
    let published = field::PUBLISHED.u32(word);
    ensure!(call.firstIndex == published, WrongIndex { expected: published });
    let count = check_pieces(m, &batch, published, &call.records, &call.proofs)?;
    let bytes = count_bytes(m, &batch, &call.records)?;
    let word = field::PUBLISHED.put(word, published + count);
    m.emit(HERE, &RecordsPublished { batchId: batch.id, firstIndex: published, count })?;
    if published + count == field::N_RECORDS.u32(batch.sizes) {
        return answered(m, &batch, word, bytes, operator);
    }
    m.store(batch.slot.of(field::CHALLENGER), word)?;
    Ok(publishReturn {})
}

/// Proves each record at its place; returns how many there are.
fn check_pieces(
    m: &mut Machine<'_>,
    batch: &Batch,
    first: u32,
    records: &[Bytes],
    proofs: &[B256],
) -> Result<u32, Halt> {
    let wanted = records.len().saturating_mul(DEPTH_NARROW);
    ensure!(
        !records.is_empty() && proofs.len() == wanted,
        LengthMismatch { left: U256::from(wanted), right: U256::from(proofs.len()) }
    );
    let left = field::N_RECORDS.u32(batch.sizes) - first;
    ensure!(
        records.len() <= left as usize,
        LengthMismatch { left: U256::from(left), right: U256::from(records.len()) }
    );
    let max = params::number(m, Param::MaxRecordBytes)?;
    let root = m.b256(batch.slot, field::RECORDS_ROOT)?;
    for (index, (record, proof)) in (first..).zip(records.iter().zip(proofs.chunks(DEPTH_NARROW))) {
        let length = record.len() as u64;
        ensure!(length <= max, TooLong { length: U256::from(length), max: U256::from(max) });
        m.charge(gas::keccak(record.len()))?;
        let leaf = (merkle::record_leaf(index, keccak256(record)), 2);
        let proved = m.proves(root, index, leaf, proof, DEPTH_NARROW)?;
        ensure!(proved, BadProof { index });
    }
    Ok(records.len() as u32)
}

/// Adds the records to the bytes on chain; returns the sum. It cannot pass the batch's size by more than a call.
fn count_bytes(m: &mut Machine<'_>, batch: &Batch, records: &[Bytes]) -> Result<u64, Halt> {
    let before = m.u64(batch.slot, field::PUBLISHED_BYTES)?;
    let bytes = records.iter().fold(before, |sum, record| sum + LENGTH_BYTES + record.len() as u64);
    let size = u64::from(field::N_BYTES.u32(batch.sizes));
    let whole = bytes + BatchBytes::PREFIX_BYTES as u64;
    ensure!(whole <= size, SizeMismatch { expected: U256::from(size), got: U256::from(whole) });
    m.set(batch.slot, field::PUBLISHED_BYTES, bytes)?;
    Ok(whole)
}

/// All records are on chain: the bond is the operator's, and there is time left to dispute them.
fn answered(
    m: &mut Machine<'_>,
    batch: &Batch,
    word: U256,
    whole: u64,
    operator: Address,
) -> Result<publishReturn, Halt> {
    let size = u64::from(field::N_BYTES.u32(batch.sizes));
    ensure!(whole == size, SizeMismatch { expected: U256::from(size), got: U256::from(whole) });
    m.store(batch.slot.of(field::CHALLENGER), field::RESPOND_BY.put(word, 0u64))?;
    let extension = u64::from(field::DISPUTE_EXTENSION.u32(batch.sizes));
    let deadline = batch.deadline().max(m.now.saturating_add(extension));
    m.store(batch.slot, field::DEADLINE.put(batch.place, deadline))?;
    let bond = m.u128(batch.slot, field::BOND)?;
    m.pay(HERE, operator, bond)?;
    m.emit(HERE, &AvailabilityAnswered { batchId: batch.id, operator, bond, deadline })?;
    Ok(publishReturn {})
}

pub(crate) fn timeout(m: &mut Machine<'_>, call: timeoutCall) -> Result<timeoutReturn, Halt> {
    let batch = batch(m, call.batchId)?;
    let word = m.word(batch.slot, field::CHALLENGER)?;
    let respond_by = field::RESPOND_BY.u64(word);
    ensure!(respond_by != 0, NotChallenged { batchId: batch.id });
    ensure!(batch.void || m.now >= respond_by, TooEarly { from: respond_by });
    m.store(batch.slot.of(field::CHALLENGER), field::RESPOND_BY.put(word, 0u64))?;
    let challenger = field::CHALLENGER.address(word);
    let bond = m.u128(batch.slot, field::BOND)?;
    m.pay(HERE, challenger, bond)?;
    m.emit(HERE, &BondReturned { batchId: batch.id, challenger, bond })?;
    if !batch.void {
        lose(m, &batch, challenger)?;
    }
    Ok(timeoutReturn {})
}
