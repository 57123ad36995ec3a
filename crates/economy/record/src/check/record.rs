//! One record against its predecessor and the chain.

use super::fault::{CheckError, Fault};
use super::settle::{Settlement, models, settle};
use crate::constants::ALGO_ID;
use crate::header::Totals;
use crate::ids::{datanet_of, index_of};
use crate::payouts::{Ledger, LedgerError};
use crate::record::Record;
use crate::spans::{Placed, attribute, check_spans};
use crate::view::{ChainView, Standing};
use alloy_primitives::B256;

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPlace {
    /// The agent of the batch.
    pub agent_id: u64,
    /// The batch's sequence number.
    pub seq: u64,
    /// The block of `commitBatch`; before the commit, the next block.
    pub commit_block: u64,
}

/// What a record continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prior {
    /// (channel, requestId) of the record before, none at the head of a batch.
    pub key: Option<(B256, B256)>,
    /// Its channelSpent.
    pub channel_spent: u128,
    /// Its running totals.
    pub totals: Totals,
    /// Its payout root; at the head of a batch, that of the batch before.
    pub payout_root: B256,
    /// Its number of accounts, likewise.
    pub n_accounts: u32,
}

impl Prior {
    /// The head of a batch, after the agent's last batch (an empty tree before the first).
    #[must_use]
    pub const fn head(payout_root: B256, n_accounts: u32) -> Self {
        let totals = Totals { fees: 0, platform: 0, model: 0, stakers: 0, contributors: 0, treasury: 0 };
        Self { key: None, channel_spent: 0, totals, payout_root, n_accounts }
    }

    /// After a record of the same batch.
    #[must_use]
    pub const fn after(record: &Record) -> Self {
        Self {
            key: Some(record.key()),
            channel_spent: record.channel_spent,
            totals: record.totals,
            payout_root: record.payout_root,
            n_accounts: record.n_accounts,
        }
    }

    /// The running sum that a further record of this channel continues.
    #[must_use]
    pub fn spent_of(&self, channel: B256) -> u128 {
        if self.key.is_some_and(|key| key.0 == channel) { self.channel_spent } else { 0 }
    }
}

/// Everything a record is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordContext {
    /// Where it stands.
    pub place: BatchPlace,
    /// What it continues.
    pub prior: Prior,
    /// Length of its bytes.
    pub bytes: usize,
}

/// Checks a record in full and takes its step in the payout tree.
///
/// # Errors
/// [`CheckError::Fault`] when any field is not what it must be; the other variants say nothing about the
/// record. After an error the ledger may have taken the step.
pub fn check_record(
    view: &dyn ChainView,
    context: &RecordContext,
    record: &Record,
    ledger: &mut dyn Ledger,
) -> Result<(), CheckError> {
    check_place(view, context, record)?;
    check_voucher(view, context, record)?;
    check_model(view, record)?;
    check_attribution(view, record)?;
    let settlement = settle(view, record)?;
    check_fee(record, &settlement)?;
    check_payees(context, record, &settlement, ledger)?;
    check_running(context, record, &settlement, ledger)
}

fn check_place(view: &dyn ChainView, context: &RecordContext, record: &Record) -> Result<(), CheckError> {
    let place = &context.place;
    if record.chain_id != view.chain_id() {
        return Err(Fault::Place("chainId").into());
    }
    if record.agent_id != place.agent_id {
        return Err(Fault::Place("agentId").into());
    }
    if record.batch_seq != place.seq {
        return Err(Fault::Place("batchSeq").into());
    }
    if record.privacy != 0 {
        return Err(Fault::Privacy(record.privacy).into());
    }
    if context.prior.key.is_some_and(|key| key >= record.key()) {
        return Err(Fault::Order.into());
    }
    if record.l2_block >= place.commit_block {
        return Err(Fault::Age { block: record.l2_block, from: 0, to: place.commit_block }.into());
    }
    let params = view.params(record.l2_block)?;
    let oldest = place.commit_block.saturating_sub(params.max_record_age);
    if record.l2_block < oldest {
        return Err(Fault::Age { block: record.l2_block, from: oldest, to: place.commit_block }.into());
    }
    if context.bytes > params.max_record_bytes as usize {
        return Err(Fault::RecordBytes { got: context.bytes, max: params.max_record_bytes }.into());
    }
    if view.recorded(record.channel, record.request_id)? {
        return Err(Fault::Repeated.into());
    }
    Ok(())
}

fn check_voucher(view: &dyn ChainView, context: &RecordContext, record: &Record) -> Result<(), CheckError> {
    if record.channel.is_zero() {
        let unpaid = [
            ("a signature", record.signature.is_empty()),
            ("a fee", record.fee == 0),
            ("maxFee", record.max_fee == 0),
            ("cumulative", record.cumulative == 0),
        ];
        return match unpaid.iter().find(|(_, zero)| !zero) {
            Some((what, _)) => Err(Fault::Unpaid(what).into()),
            None => Ok(()),
        };
    }
    let channel = view
        .channel(record.channel)?
        .filter(|channel| channel.agent_id == context.place.agent_id)
        .ok_or(Fault::Channel(record.channel))?;
    let got = record.voucher().signer(view.chain_id(), &record.signature).map_err(Fault::from)?;
    if got != channel.signer {
        return Err(Fault::Signer { got, want: channel.signer }.into());
    }
    if record.max_fee > record.cumulative {
        return Err(Fault::Cap { max_fee: record.max_fee, cumulative: record.cumulative }.into());
    }
    Ok(())
}

fn check_model(view: &dyn ChainView, record: &Record) -> Result<(), CheckError> {
    let (base, adapter) = models(view, record)?;
    let sources = adapter.map_or_else(Vec::new, |adapter| adapter.sources);
    let fixed = [
        ("sources", record.sources == sources),
        ("tokenizerHash", record.tokenizer_hash == base.tokenizer_hash),
        ("profileHash", record.profile_hash == base.profile_hash),
        ("algoId", record.algo_id == ALGO_ID),
    ];
    match fixed.iter().find(|(_, equal)| !equal) {
        Some((what, _)) => Err(Fault::Registry(what).into()),
        None => Ok(()),
    }
}

fn check_attribution(view: &dyn ChainView, record: &Record) -> Result<(), CheckError> {
    let n = u32::try_from(record.output.len()).map_err(|_| Fault::Overflow("nOut"))?;
    let placed = place_spans(view, record)?;
    let bounds = view.params(record.l2_block)?.bounds;
    if record.spans.len() > bounds.spans {
        return Err(Fault::TooManySpans { got: record.spans.len(), max: bounds.spans }.into());
    }
    let attributed = attribute(n, &placed, bounds.earners);
    check_spans(n, &placed, &attributed).map_err(Fault::from)?;
    if record.shares != attributed.shares {
        return Err(Fault::Shares.into());
    }
    let want = attributed.unattributed_ppb;
    if record.unattributed_ppb != want {
        return Err(Fault::Unattributed { got: record.unattributed_ppb, want }.into());
    }
    Ok(())
}

/// Looks up each span's contribution in the pinned epochs.
fn place_spans(view: &dyn ChainView, record: &Record) -> Result<Vec<Placed>, CheckError> {
    let mut placed = Vec::with_capacity(record.spans.len());
    for (at, span) in record.spans.iter().enumerate() {
        let datanet = datanet_of(span.contribution);
        let source =
            record.sources.iter().find(|source| source.datanet == datanet).ok_or(Fault::Outside(at))?;
        let epoch = view.epoch(*source)?.ok_or(Fault::Outside(at))?;
        if index_of(span.contribution) >= epoch.count {
            return Err(Fault::Outside(at).into());
        }
        let contribution = view
            .contribution(span.contribution)?
            .filter(|found| found.standing != Standing::Rejected)
            .ok_or(Fault::Outside(at))?;
        if u64::from(span.offset) + u64::from(span.len) > contribution.tokens {
            return Err(Fault::PastContribution(at).into());
        }
        placed.push(Placed {
            span: *span,
            commit_block: contribution.commit_block,
            live: contribution.live_in(source.epoch),
            min_match: epoch.min_match,
        });
    }
    Ok(placed)
}

fn check_fee(record: &Record, settlement: &Settlement) -> Result<(), CheckError> {
    if record.fee != settlement.fee {
        return Err(Fault::Fee { got: record.fee, want: settlement.fee }.into());
    }
    if record.fee > record.max_fee {
        return Err(Fault::MaxFee { fee: record.fee, max_fee: record.max_fee }.into());
    }
    Ok(())
}

fn check_payees(
    context: &RecordContext,
    record: &Record,
    settlement: &Settlement,
    ledger: &mut dyn Ledger,
) -> Result<(), CheckError> {
    let prior = &context.prior;
    if ledger.root() != prior.payout_root || ledger.n_accounts() != prior.n_accounts {
        return Err(CheckError::Witness(LedgerError::Witness));
    }
    let claimed: Vec<u32> = record.payees.iter().map(|payee| payee.index).collect();
    let payees = ledger.credit(&settlement.credits, &claimed).map_err(|error| match error {
        LedgerError::Overflow(_) | LedgerError::Full => CheckError::Fault(Fault::Ledger(error)),
        LedgerError::Witness | LedgerError::Missing(_) | LedgerError::Proof(_) => CheckError::Witness(error),
    })?;
    if record.payees == payees { Ok(()) } else { Err(Fault::Payees.into()) }
}

fn check_running(
    context: &RecordContext,
    record: &Record,
    settlement: &Settlement,
    ledger: &dyn Ledger,
) -> Result<(), CheckError> {
    let prior = &context.prior;
    let spent =
        prior.spent_of(record.channel).checked_add(settlement.fee).ok_or(Fault::Overflow("channelSpent"))?;
    let totals = prior.totals.checked_add(&settlement.totals).ok_or(Fault::Overflow("totals"))?;
    let running = [
        ("channelSpent", record.channel_spent == spent),
        ("totals", record.totals == totals),
        ("payoutRoot", record.payout_root == ledger.root()),
        ("nAccounts", record.n_accounts == ledger.n_accounts()),
    ];
    match running.iter().find(|(_, equal)| !equal) {
        Some((what, _)) => Err(Fault::Running(what).into()),
        None => Ok(()),
    }
}
