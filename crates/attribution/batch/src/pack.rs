//! From served requests to a batch.
//!
//! ```text
//! in order of arrival: vet each alone ─► covered by voucher and deposit? ─► fits? ─► taken
//! sort by (channel, requestId) ─► credit, sum up, root ─► encode ─► check the whole
//! ```

use crate::error::PackError;
use crate::state::{AgentState, SignedVoucher};
use alloy_primitives::{B256, Bytes, U256, keccak256};
use std::collections::{BTreeMap, BTreeSet};
use tributary_record::{
    ALGO_ID, BatchBytes, BatchClaim, BatchPlace, ChainView, CheckError, Debit, Fault, Header, Ledger,
    MAX_BATCH_BYTES, MAX_CHANNELS, PayoutTree, Prior, Record, RecordContext, Totals, check_batch,
    check_record, settle,
};

use crate::proofs::RecordTree;

/// How large a batch may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes.
    pub bytes: usize,
    /// Paying channels.
    pub channels: usize,
    /// Records.
    pub records: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: MAX_BATCH_BYTES, channels: MAX_CHANNELS, records: 1 << 16 }
    }
}

/// A record that can stand in no batch.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The record as it came.
    pub record: Record,
    /// Why.
    pub fault: Fault,
}

/// A batch ready for DA and `commitBatch`.
#[derive(Debug, Clone)]
pub struct Packed {
    /// Its id.
    pub batch_id: B256,
    /// What DA stores.
    pub bytes: Vec<u8>,
    /// What the chain stores.
    pub header: Header,
    /// One debit a channel, ascending.
    pub debits: Vec<Debit>,
    /// The debits' voucher signatures.
    pub signatures: Vec<Bytes>,
    /// Sums.
    pub totals: Totals,
    /// The records, complete.
    pub records: Vec<Record>,
    /// The agent's books once the batch is committed.
    pub state: AgentState,
}

/// What packing made of the records given.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The batch, when any record could be taken.
    pub packed: Option<Packed>,
    /// Records for the next batch, as they came.
    pub left: Vec<Record>,
    /// Records that can stand in no batch, for the log.
    pub refused: Vec<Refused>,
}

/// Packs the next batch after `state`. `records` come in the order of arrival; what depends on their place in
/// the batch is overwritten. `commit_block` is the block in which the batch will be committed.
///
/// # Errors
/// When the chain cannot be read or the result does not pass its own check. Nothing is changed then.
pub fn pack(
    view: &dyn ChainView,
    state: &AgentState,
    records: Vec<Record>,
    commit_block: u64,
    limits: &Limits,
) -> Result<Outcome, PackError> {
    let place = BatchPlace { agent_id: state.agent_id, seq: state.last_seq + 1, commit_block };
    let mut selection = Selection::new(view, state, place, *limits);
    for record in records {
        selection.offer(record)?;
    }
    let Selection { mut taken, left, refused, state: mut next, .. } = selection;
    if taken.is_empty() {
        return Ok(Outcome { packed: None, left, refused });
    }
    taken.sort_by_key(Record::key);
    let head = Prior::head(next.payouts.root(), next.payouts.n_accounts());
    let last = complete(view, &place, head, &mut taken, &mut next.payouts)?;
    next.payouts.settle();
    let batch = BatchBytes {
        chain_id: view.chain_id(),
        agent_id: state.agent_id,
        seq: place.seq,
        prev_batch: state.last_batch,
        records: taken,
    };
    let packed = finish(view, state, batch, &last, commit_block, next)?;
    Ok(Outcome { packed: Some(packed), left, refused })
}

/// Header, debits and the check of the whole.
fn finish(
    view: &dyn ChainView,
    before: &AgentState,
    batch: BatchBytes,
    last: &Prior,
    commit_block: u64,
    mut state: AgentState,
) -> Result<Packed, PackError> {
    let bytes = batch.encode()?;
    let header = Header {
        agent_id: batch.agent_id,
        seq: batch.seq,
        prev_batch: batch.prev_batch,
        batch_hash: keccak256(&bytes),
        n_bytes: bytes.len() as u32,
        n_records: batch.records.len() as u32,
        records_root: RecordTree::new(&bytes)?.root(),
        payout_root: last.payout_root,
        n_accounts: last.n_accounts,
        algo_id: ALGO_ID,
    };
    let (debits, signatures) = debits(&batch.records, &state);
    let claim = BatchClaim { header, debits, signatures, totals: last.totals, commit_block };
    let checked =
        check_batch(view, &claim, &bytes, &mut before.payouts.clone()).map_err(|error| match error {
            CheckError::View(error) => PackError::View(error),
            other => PackError::SelfCheck(other),
        })?;
    state.last_seq = header.seq;
    state.last_batch = checked.batch_id;
    Ok(Packed {
        batch_id: checked.batch_id,
        bytes,
        header,
        debits: claim.debits,
        signatures: claim.signatures,
        totals: claim.totals,
        records: batch.records,
        state,
    })
}

/// One debit a channel with its last sum, under the channel's highest voucher.
fn debits(records: &[Record], state: &AgentState) -> (Vec<Debit>, Vec<Bytes>) {
    let mut spent: BTreeMap<B256, u128> = BTreeMap::new();
    for record in records.iter().filter(|record| !record.channel.is_zero()) {
        spent.insert(record.channel, record.channel_spent);
    }
    let with_voucher = |(channel, amount)| {
        let voucher = state.vouchers.get(&channel)?;
        let cumulative = U256::from(voucher.cumulative);
        let debit = Debit { channel, cumulative, request_hash: voucher.request_hash, amount };
        Some((debit, voucher.signature.clone()))
    };
    spent.into_iter().filter_map(with_voucher).unzip()
}

/// Fills in what follows from a record's place, one record after the other.
fn complete(
    view: &dyn ChainView,
    place: &BatchPlace,
    head: Prior,
    records: &mut [Record],
    payouts: &mut PayoutTree,
) -> Result<Prior, PackError> {
    let mut prior = head;
    for record in records {
        complete_one(view, place, &prior, record, payouts).map_err(|error| match error {
            CheckError::View(error) => PackError::View(error),
            CheckError::Witness(error) => PackError::Ledger(error),
            other => PackError::SelfCheck(other),
        })?;
        prior = Prior::after(record);
    }
    Ok(prior)
}

fn complete_one(
    view: &dyn ChainView,
    place: &BatchPlace,
    prior: &Prior,
    record: &mut Record,
    payouts: &mut PayoutTree,
) -> Result<(), CheckError> {
    let settlement = settle(view, record)?;
    record.batch_seq = place.seq;
    record.fee = settlement.fee;
    record.payees = payouts.credit(&settlement.credits, &[]).map_err(Fault::Ledger)?;
    record.channel_spent =
        prior.spent_of(record.channel).checked_add(settlement.fee).ok_or(Fault::Overflow("channelSpent"))?;
    record.totals = prior.totals.checked_add(&settlement.totals).ok_or(Fault::Overflow("totals"))?;
    record.payout_root = payouts.root();
    record.n_accounts = payouts.n_accounts();
    Ok(())
}

/// Decides record by record what goes into the batch.
struct Selection<'a> {
    view: &'a dyn ChainView,
    place: BatchPlace,
    limits: Limits,
    state: AgentState,
    bytes: usize,
    /// A record found no room: the batch is closed, and those after it wait in their order.
    full: bool,
    spent: BTreeMap<B256, u128>,
    keys: BTreeSet<(B256, B256)>,
    taken: Vec<Record>,
    left: Vec<Record>,
    refused: Vec<Refused>,
}

impl<'a> Selection<'a> {
    fn new(view: &'a dyn ChainView, state: &AgentState, place: BatchPlace, limits: Limits) -> Self {
        Self {
            view,
            place,
            limits,
            state: state.clone(),
            bytes: BatchBytes::PREFIX_BYTES,
            full: false,
            spent: BTreeMap::new(),
            keys: BTreeSet::new(),
            taken: Vec::new(),
            left: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Takes, leaves or refuses a record.
    fn offer(&mut self, record: Record) -> Result<(), PackError> {
        if self.full {
            self.left.push(record);
            return Ok(());
        }
        let (fee, bytes) = match self.vet(&record) {
            Ok(vetted) => vetted,
            Err(CheckError::Fault(fault)) => return self.refuse(record, fault),
            Err(CheckError::View(error)) => return Err(error.into()),
            Err(other) => return Err(PackError::SelfCheck(other)),
        };
        if self.keys.contains(&record.key()) {
            return self.refuse(record, Fault::Order);
        }
        self.full = !self.has_room(bytes);
        if self.full || !self.has_channel(&record) {
            self.left.push(record);
            return Ok(());
        }
        if !record.channel.is_zero() {
            let spent = match self.covered(&record, fee)? {
                Ok(spent) => spent,
                Err(fault) => return self.refuse(record, fault),
            };
            self.spent.insert(record.channel, spent);
            self.state.note_voucher(record.channel, SignedVoucher::of(&record));
        }
        self.bytes += bytes;
        self.keys.insert(record.key());
        self.taken.push(record);
        Ok(())
    }

    fn refuse(&mut self, record: Record, fault: Fault) -> Result<(), PackError> {
        self.refused.push(Refused { record, fault });
        Ok(())
    }

    /// Checks a record as if it were alone; returns its fee and its bytes in the batch, neither of which
    /// depends on its place.
    fn vet(&self, record: &Record) -> Result<(u128, usize), CheckError> {
        let mut alone = record.clone();
        let empty = PayoutTree::default();
        let prior = Prior::head(empty.root(), 0);
        complete_one(self.view, &self.place, &prior, &mut alone, &mut empty.clone())?;
        let bytes = alone.encode().map_err(Fault::from)?.len();
        let context = RecordContext { place: self.place, prior, bytes };
        check_record(self.view, &context, &alone, &mut empty.clone())?;
        Ok((alone.fee, 4 + bytes))
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.bytes + bytes <= self.limits.bytes && self.taken.len() < self.limits.records
    }

    fn has_channel(&self, record: &Record) -> bool {
        record.channel.is_zero()
            || self.spent.contains_key(&record.channel)
            || self.spent.len() < self.limits.channels
    }

    /// What the channel has spent in this batch with this record, if its highest voucher and its deposit
    /// cover that.
    fn covered(&self, record: &Record, fee: u128) -> Result<Result<u128, Fault>, PackError> {
        let Some(channel) = self.view.channel(record.channel)? else {
            return Ok(Err(Fault::Channel(record.channel)));
        };
        let known = self.state.vouchers.get(&record.channel).map_or(0, |voucher| voucher.cumulative);
        let covered = known.max(record.cumulative).min(channel.deposited);
        let spent = self.spent.get(&record.channel).copied().unwrap_or(0).saturating_add(fee);
        let in_all = channel.settled.saturating_add(spent);
        if in_all > covered {
            return Ok(Err(Fault::Uncovered { channel: record.channel, spent: in_all, covered }));
        }
        Ok(Ok(spent))
    }
}
