//! What a run tells: a table for people, JSON for programs.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::Serialize;
use tributary_api::types::{ShareView, SpanView};

use super::{
    ask::Answered,
    checks::Check,
    settle::{Payout, Settled},
    setup::Stage,
};
use crate::{
    commands::chat::percent,
    output::{open, table},
};

/// A run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    channel: B256,
    agent: u64,
    answers: Vec<AnswerView>,
    batches: Vec<BatchView>,
    payouts: Vec<PayoutView>,
    pub(super) checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AnswerView {
    adapter: Option<&'static str>,
    request_id: B256,
    prompt: String,
    text: String,
    output: Vec<u32>,
    in_tokens: u32,
    out_tokens: u32,
    fee: String,
    spans: Vec<SpanView>,
    shares: Vec<ShareView>,
    unattributed_ppb: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchView {
    id: B256,
    tx: Option<B256>,
    agent: u64,
    da: DaView,
    batch_hash: B256,
    records: usize,
}

#[derive(Debug, Serialize)]
struct DaView {
    name: String,
    commitment: Bytes,
}

#[derive(Debug, Serialize)]
struct PayoutView {
    account: Address,
    role: &'static str,
    owed: String,
    claimed: String,
    before: String,
    after: String,
    cost: String,
}

impl Report {
    pub(super) fn new(
        stage: &Stage,
        answers: Vec<Answered>,
        batches: Vec<Settled>,
        payouts: Vec<Payout>,
        checks: Vec<Check>,
    ) -> Self {
        let answers = answers
            .into_iter()
            .map(|answer| AnswerView {
                adapter: answer.adapter,
                request_id: answer.request(),
                prompt: answer.prompt,
                text: answer.text,
                in_tokens: answer.receipt.in_tokens,
                out_tokens: answer.receipt.out_tokens,
                fee: answer.receipt.fee.to_string(),
                output: answer.receipt.output,
                spans: answer.receipt.spans,
                shares: answer.receipt.shares,
                unattributed_ppb: answer.receipt.unattributed_ppb,
            })
            .collect();
        let batches = batches
            .into_iter()
            .map(|batch| BatchView {
                id: batch.id,
                tx: batch.transaction,
                agent: batch.agent,
                da: DaView { name: batch.da, commitment: batch.da_commitment },
                batch_hash: batch.batch_hash,
                records: batch.count,
            })
            .collect();
        let payouts = payouts
            .into_iter()
            .map(|payout| PayoutView {
                account: payout.account,
                role: payout.role,
                owed: payout.owed.to_string(),
                claimed: payout.claimed.to_string(),
                before: payout.before.to_string(),
                after: payout.after.to_string(),
                cost: payout.cost.to_string(),
            })
            .collect();
        Self { channel: stage.channel, agent: stage.agent, answers, batches, payouts, checks }
    }

    pub(super) fn print(&self) {
        println!("{}", self.answers_table());
        println!("{}", self.payouts_table());
        for batch in &self.batches {
            println!("batch {} of {} records, on {}", batch.id, batch.records, batch.da.name);
        }
        for check in &self.checks {
            println!("{} {}: {}", if check.ok { "✓" } else { "✗" }, check.name, check.detail);
        }
    }

    fn answers_table(&self) -> comfy_table::Table {
        let mut table = table(&["asked", "question and answer", "fee", "who, how much, and why"]);
        for answer in &self.answers {
            let mut why: Vec<String> = answer.shares.iter().map(|share| because(answer, share)).collect();
            why.push(format!("{} quotes nobody", percent(answer.unattributed_ppb)));
            table.add_row([
                answer.adapter.unwrap_or("base model").to_owned(),
                format!("{}\n→ {}", answer.prompt, shorten(&answer.text, 200)),
                open(answer.fee.parse::<u128>().unwrap_or_default()),
                why.join("\n"),
            ]);
        }
        table
    }

    fn payouts_table(&self) -> comfy_table::Table {
        let mut table = table(&["account", "role", "credited by this run", "paid out", "balance change"]);
        for payout in &self.payouts {
            let amount = |text: &str| open(text.parse::<u128>().unwrap_or_default());
            let parse = |text: &str| text.parse::<U256>().unwrap_or_default();
            let (before, after) = (parse(&payout.before), parse(&payout.after));
            let (sign, change) =
                if after >= before { ("+", after - before) } else { ("−", before - after) };
            table.add_row([
                payout.account.to_string(),
                payout.role.to_owned(),
                amount(&payout.owed),
                amount(&payout.claimed),
                format!("{sign}{}", open(change)),
            ]);
        }
        table
    }
}

/// One line for one share: who, how much, which words.
fn because(answer: &AnswerView, share: &ShareView) -> String {
    let words = answer
        .spans
        .iter()
        .filter(|span| span.contribution_id == share.contribution_id)
        .max_by_key(|span| span.len)
        .map_or("", |span| span.text.as_str());
    format!(
        "{} {} to {}: «{}»",
        percent(share.ppb),
        open(share.amount),
        short(share.contributor),
        shorten(words, 60)
    )
}

fn short(account: Address) -> String {
    let text = account.to_string();
    format!("{}…{}", &text[..6], &text[38..])
}

fn shorten(text: &str, most: usize) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= most { text } else { text.chars().take(most).chain(['…']).collect() }
}
