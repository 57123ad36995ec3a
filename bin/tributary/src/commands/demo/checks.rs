//! What must hold after a run, each computed from what the other side said.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use eyre::Result;
use futures::future::join_all;
use serde::Serialize;
use serde_json::Value;
use tributary_abi::{
    IAttribution::BatchCommitted,
    IModels,
    address::{ATTRIBUTION, MODELS},
};
use tributary_da::{ProxyClient, ProxyConfig, get_checked};
use tributary_record::{BatchBytes, fees::share_amount};

use super::{
    ask::Answered,
    settle::{Payout, Settled, quantity, total},
    setup::Stage,
    wallets::{Before, Wallets},
};

/// A batch is at most this long.
const MAX_BATCH: usize = 128 * 1024;

/// A check and how it went.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) ok: bool,
    pub(super) detail: String,
}

/// Collects the outcome of one check.
struct Tally {
    name: &'static str,
    seen: usize,
    faults: Vec<String>,
}

impl Tally {
    const fn new(name: &'static str) -> Self {
        Self { name, seen: 0, faults: Vec::new() }
    }

    fn expect(&mut self, ok: bool, fault: impl FnOnce() -> String) {
        self.seen += 1;
        if !ok {
            self.faults.push(fault());
        }
    }

    fn equal<T: PartialEq + std::fmt::Display>(&mut self, what: &str, got: T, want: T) {
        let ok = got == want;
        self.expect(ok, || format!("{what}: {got}, expected {want}"));
    }

    fn done(self, what: &str) -> Check {
        let ok = self.faults.is_empty() && self.seen > 0;
        let detail = if ok {
            format!("{} {what}", self.seen)
        } else if self.seen == 0 {
            format!("no {what}")
        } else {
            self.faults.join("; ")
        };
        Check { name: self.name, ok, detail }
    }
}

/// All of them.
pub(super) async fn all(
    wallets: &Wallets,
    stage: &Stage,
    before: &Before,
    answers: &[Answered],
    batches: &[Settled],
    payouts: &[Payout],
) -> Result<Vec<Check>> {
    let blobs = join_all(batches.iter().map(fetch)).await;
    Ok(vec![
        spans_are_quotations(stage, answers),
        answers_are_attributed(answers),
        records_match_receipts(answers, batches),
        fees_are_split(wallets, batches).await?,
        channel_paid_what_was_credited(wallets, stage, before, answers, batches, &blobs).await?,
        claims_are_paid(payouts),
        da_gives_back(batches, &blobs),
    ])
}

/// Every span's tokens stand in the contribution, at the offset it says.
fn spans_are_quotations(stage: &Stage, answers: &[Answered]) -> Check {
    let mut tally = Tally::new("spans are in the documents");
    for answer in answers {
        for span in &answer.receipt.spans {
            let quoted = answer.receipt.output.get(span.start as usize..(span.start + span.len) as usize);
            let source = stage
                .tokens
                .get(&span.contribution_id)
                .and_then(|tokens| tokens.get(span.offset as usize..(span.offset + span.len) as usize));
            tally.expect(quoted.is_some() && quoted == source, || {
                format!(
                    "span at {} of request {} is not in contribution {}",
                    span.start,
                    answer.request(),
                    span.contribution_id
                )
            });
        }
    }
    tally.done("spans")
}

/// Each adapter's answers quote its data; the base model pins none.
fn answers_are_attributed(answers: &[Answered]) -> Check {
    let mut tally = Tally::new("answers of adapters are traced");
    let mut traced: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for answer in answers {
        match answer.adapter {
            Some(adapter) => {
                let entry = traced.entry(adapter).or_default();
                entry.0 += 1;
                entry.1 += usize::from(!answer.receipt.shares.is_empty());
            }
            None => tally.expect(answer.receipt.shares.is_empty(), || {
                "an answer of the base model was attributed".to_owned()
            }),
        }
    }
    for (adapter, (asked, quoted)) in traced {
        tally.expect(quoted * 2 >= asked, || {
            format!("{adapter}: only {quoted} of {asked} answers quote its data")
        });
    }
    tally.done("models")
}

/// The record on chain is what the payer was given.
fn records_match_receipts(answers: &[Answered], batches: &[Settled]) -> Check {
    let mut tally = Tally::new("records are what the receipts say");
    let records: BTreeMap<String, &Value> = batches
        .iter()
        .flat_map(|batch| &batch.records)
        .filter_map(|record| Some((record["requestId"].as_str()?.to_owned(), record)))
        .collect();
    for answer in answers {
        let Some(record) = records.get(&answer.request().to_string()) else {
            tally.expect(false, || format!("request {} has no record", answer.request()));
            continue;
        };
        tally.equal("fee", quantity(&record["fee"]), answer.receipt.fee.to());
        let output: Vec<u32> = serde_json::from_value(record["output"].clone()).unwrap_or_default();
        tally.expect(output == answer.receipt.output, || {
            format!("request {}: another output", answer.request())
        });
    }
    tally.done("comparisons")
}

/// Each fee goes to its owners to the wei.
async fn fees_are_split(wallets: &Wallets, batches: &[Settled]) -> Result<Check> {
    let mut tally = Tally::new("fees are split to the wei");
    for record in batches.iter().flat_map(|batch| &batch.records) {
        let mut want: BTreeMap<Address, u128> = BTreeMap::new();
        let own = &record["own"];
        for (model, part) in [("modelId", "base"), ("adapterId", "adapter")] {
            let id = u64::try_from(quantity(&record[model]))?;
            let amount = quantity(&own[part]);
            if id != 0 && amount > 0 {
                let block = u64::try_from(quantity(&record["l2Block"]))?;
                let call = IModels::ownerAtCall { id, blockNumber: block };
                *want.entry(wallets.payer.call(MODELS, &call).await?).or_default() += amount;
            }
        }
        for share in record["shares"].as_array().into_iter().flatten() {
            let contribution = u64::try_from(quantity(&share["contributionId"]))?;
            let amount = share_amount(quantity(&own["delta"]), quantity(&share["ppb"]).try_into()?)?;
            if amount > 0 {
                *want.entry(contributor(wallets, contribution).await?).or_default() += amount;
            }
        }
        let mut got: BTreeMap<Address, u128> = BTreeMap::new();
        for payee in record["payees"].as_array().into_iter().flatten() {
            if let Some(account) = payee["account"].as_str().and_then(|text| text.parse().ok()) {
                *got.entry(account).or_default() += quantity(&payee["amount"]);
            }
        }
        tally.expect(got == want, || format!("payees {got:?}, expected {want:?}"));
        let parts: u128 = ["platform", "base", "adapter", "stakers", "contributors", "treasury"]
            .iter()
            .map(|part| quantity(&own[*part]))
            .sum();
        tally.equal("parts of a fee", parts, quantity(&record["fee"]));
    }
    Ok(tally.done("comparisons"))
}

async fn contributor(wallets: &Wallets, contribution: u64) -> Result<Address> {
    use tributary_abi::{IDatanets, address::DATANETS};
    let call = IDatanets::getContributionCall { contributionId: contribution };
    Ok(wallets.payer.call(DATANETS, &call).await?.contributor)
}

/// What left the channel is what was credited: in this run's batches, whose records are read from DA, and on the channel as a whole.
async fn channel_paid_what_was_credited(
    wallets: &Wallets,
    stage: &Stage,
    before: &Before,
    answers: &[Answered],
    batches: &[Settled],
    blobs: &[Result<BatchBytes>],
) -> Result<Check> {
    let mut tally = Tally::new("channel debit equals credits");
    let until = wallets.payer.block_number().await?;
    let committed: Vec<BatchCommitted> =
        wallets.payer.agent_events(ATTRIBUTION, Some(stage.agent), before.block + 1..=until).await?;
    let debit = |event: &BatchCommitted| -> u128 {
        event.debits.iter().filter(|debit| debit.channel == stage.channel).map(|debit| debit.amount).sum()
    };
    let settled = wallets.settled(stage, until).await? - before.settled;
    tally.equal("debit", settled, committed.iter().map(debit).sum());
    for (batch, bytes) in batches.iter().zip(blobs) {
        let fees = bytes.as_ref().map_or(0, |bytes| {
            bytes
                .records
                .iter()
                .filter(|record| record.channel == stage.channel)
                .map(|record| record.fee)
                .sum()
        });
        let drawn: u128 = committed.iter().filter(|event| event.batchId == batch.id).map(debit).sum();
        tally.equal(&format!("drawn by batch {}", batch.id), drawn, fees);
    }
    let fees: u128 = answers.iter().map(|answer| answer.receipt.fee.to::<u128>()).sum();
    let parts = ["platform", "base", "adapter", "stakers", "contributors", "treasury"];
    let credits: u128 = parts.iter().map(|part| total(batches, part)).sum();
    tally.equal("credits", credits, fees);
    Ok(tally.done("sums"))
}

/// What accounts claimed is what they were owed, and is on their balance.
fn claims_are_paid(payouts: &[Payout]) -> Check {
    let mut tally = Tally::new("claims are paid in full");
    for payout in payouts {
        let who = format!("{} {}", payout.role, payout.account);
        // An earlier run may have left something to claim: never less than what this run credited. A pool of stakers carries
        // the remainder of its division to the next batch.
        let remainder = u128::from(payout.role == "staker");
        tally.expect(payout.claimed + remainder >= payout.owed, || {
            format!("{who} claimed {} of {}", payout.claimed, payout.owed)
        });
        let want = payout.before + U256::from(payout.claimed + payout.beside) - payout.cost;
        // The treasury takes other fees too.
        let held = payout.after == want || (payout.role == "treasury" && payout.after > want);
        tally.expect(held, || format!("balance of {who}: {}, expected {want}", payout.after));
    }
    tally.done("comparisons")
}

/// The bytes that DA gives back hash to what the chain holds.
fn da_gives_back(batches: &[Settled], blobs: &[Result<BatchBytes>]) -> Check {
    let mut tally = Tally::new("batches are on DA");
    for (batch, bytes) in batches.iter().zip(blobs) {
        let fault = bytes.as_ref().err().map(|failure| format!("batch {}: {failure:#}", batch.id));
        tally.expect(fault.is_none(), || fault.unwrap_or_default());
    }
    tally.done("batches")
}

async fn fetch(batch: &Settled) -> Result<BatchBytes> {
    let da = ProxyClient::new(ProxyConfig { max_bytes: MAX_BATCH, ..ProxyConfig::new(batch.da.parse()?) })?;
    let bytes = get_checked(&da, &batch.da_commitment, batch.batch_hash).await?;
    Ok(BatchBytes::decode(&bytes)?)
}
