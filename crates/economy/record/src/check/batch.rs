//! A whole batch against the header, debits and totals that its agent commits.

use super::fault::{CheckError, Fault};
use super::record::{BatchPlace, Prior, RecordContext, check_record};
use crate::codec::BatchBytes;
use crate::constants::{ALGO_ID, DEPTH_NARROW, MAX_CHANNELS};
use crate::header::{Debit, Header, Totals};
use crate::merkle::{record_leaf, root};
use crate::payouts::{Ledger, PayoutTree};
use crate::record::Record;
use crate::view::ChainView;
use alloy_primitives::{B256, Bytes, U256, keccak256};

/// What `commitBatch` says about a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchClaim {
    /// The header.
    pub header: Header,
    /// One debit a channel.
    pub debits: Vec<Debit>,
    /// The vouchers' signatures, one a debit.
    pub signatures: Vec<Bytes>,
    /// Sums.
    pub totals: Totals,
    /// The block of the commit; before it, the next block.
    pub commit_block: u64,
}

/// A batch that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its id.
    pub batch_id: B256,
    /// Its records.
    pub records: Vec<Record>,
}

/// Checks batch bytes in full against what is (to be) committed about them. `payouts` is the agent's tree
/// after `header.prevBatch`; it takes the batch's steps when the batch holds, and is as before when not.
///
/// # Errors
/// With the first thing found wrong, [`CheckError::Record`] naming the record.
pub fn check_batch(
    view: &dyn ChainView,
    claim: &BatchClaim,
    bytes: &[u8],
    payouts: &mut PayoutTree,
) -> Result<Checked, CheckError> {
    let mark = payouts.mark();
    let checked = check_all(view, claim, bytes, payouts);
    if checked.is_err() {
        payouts.rollback(mark).map_err(CheckError::Witness)?;
    }
    checked
}

fn check_all(
    view: &dyn ChainView,
    claim: &BatchClaim,
    bytes: &[u8],
    payouts: &mut PayoutTree,
) -> Result<Checked, CheckError> {
    let header = &claim.header;
    let slices = check_frame(view, header, bytes)?;
    let place = BatchPlace { agent_id: header.agent_id, seq: header.seq, commit_block: claim.commit_block };
    let mut prior = Prior::head(payouts.root(), payouts.n_accounts());
    let mut records = Vec::with_capacity(slices.len());
    for (index, slice) in slices.into_iter().enumerate() {
        let context = RecordContext { place, prior, bytes: slice.len() };
        let record = check_slice(view, &context, slice, payouts)
            .map_err(|error| CheckError::Record { index, error: Box::new(error) })?;
        prior = Prior::after(&record);
        records.push(record);
    }
    check_end(claim, &prior)?;
    check_debits(view, claim, &records)?;
    Ok(Checked { batch_id: header.batch_id(view.chain_id()), records })
}

fn check_slice(
    view: &dyn ChainView,
    context: &RecordContext,
    slice: &[u8],
    payouts: &mut PayoutTree,
) -> Result<Record, CheckError> {
    let record = Record::decode(slice).map_err(Fault::from)?;
    check_record(view, context, &record, payouts)?;
    Ok(record)
}

/// The header against the bytes, before any record is read.
fn check_frame<'a>(
    view: &dyn ChainView,
    header: &Header,
    bytes: &'a [u8],
) -> Result<Vec<&'a [u8]>, CheckError> {
    if header.batch_hash != keccak256(bytes) {
        return Err(Fault::Header("batchHash").into());
    }
    let (frame, slices) = BatchBytes::split(bytes).map_err(Fault::from)?;
    if slices.is_empty() {
        return Err(Fault::Empty.into());
    }
    let leaves: Vec<B256> =
        slices.iter().zip(0u32..).map(|(slice, index)| record_leaf(index, keccak256(slice))).collect();
    let records_root = root(DEPTH_NARROW, &leaves).map_err(Fault::from)?;
    let fields = [
        ("nBytes", header.n_bytes as usize == bytes.len()),
        ("chainId", frame.chain_id == view.chain_id()),
        ("agentId", frame.agent_id == header.agent_id),
        ("seq", frame.seq == header.seq),
        ("prevBatch", frame.prev_batch == header.prev_batch),
        ("nRecords", header.n_records as usize == slices.len()),
        ("recordsRoot", header.records_root == records_root),
        ("algoId", header.algo_id == ALGO_ID),
    ];
    match fields.iter().find(|(_, equal)| !equal) {
        Some((what, _)) => Err(Fault::Header(what).into()),
        None => Ok(slices),
    }
}

/// The header and totals against the last record.
fn check_end(claim: &BatchClaim, last: &Prior) -> Result<(), CheckError> {
    if claim.header.payout_root != last.payout_root {
        return Err(Fault::Header("payoutRoot").into());
    }
    if claim.header.n_accounts != last.n_accounts {
        return Err(Fault::Header("nAccounts").into());
    }
    if claim.totals != last.totals || !claim.totals.balanced() {
        return Err(Fault::Totals.into());
    }
    Ok(())
}

fn check_debits(view: &dyn ChainView, claim: &BatchClaim, records: &[Record]) -> Result<(), CheckError> {
    let mut sums: Vec<(B256, u128)> = Vec::new();
    for record in records.iter().filter(|record| !record.channel.is_zero()) {
        match sums.last_mut().filter(|sum| sum.0 == record.channel) {
            Some(sum) => sum.1 = record.channel_spent,
            None => sums.push((record.channel, record.channel_spent)),
        }
    }
    if sums.len() > MAX_CHANNELS {
        return Err(Fault::Channels(sums.len()).into());
    }
    if claim.debits.len() != sums.len() {
        return Err(Fault::Debit(claim.debits.len().min(sums.len())).into());
    }
    if claim.signatures.len() != claim.debits.len() {
        let (signatures, debits) = (claim.signatures.len(), claim.debits.len());
        return Err(Fault::Signatures { signatures, debits }.into());
    }
    for (at, (channel, amount)) in sums.into_iter().enumerate() {
        let debit = &claim.debits[at];
        if debit.channel != channel || debit.amount != amount {
            return Err(Fault::Debit(at).into());
        }
        check_debit(view, debit, &claim.signatures[at])?;
    }
    Ok(())
}

fn check_debit(view: &dyn ChainView, debit: &Debit, signature: &Bytes) -> Result<(), CheckError> {
    let channel = view.channel(debit.channel)?.ok_or(Fault::Channel(debit.channel))?;
    let got = debit.voucher().signer(view.chain_id(), signature).map_err(Fault::from)?;
    if got != channel.signer {
        return Err(Fault::Signer { got, want: channel.signer }.into());
    }
    let spent = channel.settled.checked_add(debit.amount).ok_or(Fault::Overflow("settled"))?;
    let covered = debit.cumulative.min(U256::from(channel.deposited)).saturating_to::<u128>();
    if spent > covered {
        return Err(Fault::Uncovered { channel: debit.channel, spent, covered }.into());
    }
    Ok(())
}
