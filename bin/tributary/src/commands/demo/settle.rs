//! From answers to money: the batch, its finality, everyone's claim.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, Bytes, U128, U256};
use eyre::{OptionExt, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use tributary_abi::{
    IAttribution::{BatchFinalized, Totals},
    IParams,
    address::{ATTRIBUTION, PARAMS},
};
use tributary_record::fees::{SplitParams, share_amount, split};

use super::{
    Narrator,
    ask::Answered,
    setup::Stage,
    wallets::{Before, Wallets},
};
use crate::{
    economy::{claim_all, collect},
    wallet::Client,
};

/// A batch as the node tells of it, with those of its records that are of this run.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    pub(super) id: B256,
    pub(super) transaction: Option<B256>,
    pub(super) da: String,
    pub(super) da_commitment: Bytes,
    pub(super) batch_hash: B256,
    pub(super) agent: u64,
    /// Records of this run.
    pub(super) records: Vec<Value>,
    /// All its records.
    pub(super) count: usize,
}

/// What an account got.
#[derive(Clone, Debug)]
pub(super) struct Payout {
    pub(super) account: Address,
    pub(super) role: &'static str,
    /// Credited by this run.
    pub(super) owed: u128,
    /// Paid out by claims, or directly at finality; of batches of others too, that became final meanwhile.
    pub(super) claimed: u128,
    /// Paid to the account for another role between the two balances.
    pub(super) beside: u128,
    pub(super) before: U256,
    pub(super) after: U256,
    /// What its claims cost.
    pub(super) cost: U256,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    status: String,
    #[serde(default)]
    batch_id: Option<B256>,
    record: Value,
}

/// Waits until every answer's batch is final.
pub(super) async fn wait_until_final(
    wallets: &Wallets,
    stage: &Stage,
    answers: &[Answered],
    patience: Duration,
    narrator: &Narrator,
) -> Result<Vec<Settled>> {
    let client = &wallets.payer;
    let bar = narrator.bar(answers.len(), "wait for final batches");
    let start = Instant::now();
    loop {
        let mut by_batch: BTreeMap<B256, Vec<Value>> = BTreeMap::new();
        let mut open = 0;
        for answer in answers {
            let found: Explained =
                client.rpc("tributary_explain", json!([stage.channel, answer.request()])).await?;
            match (found.status.as_str(), found.batch_id) {
                ("final", Some(batch)) => by_batch.entry(batch).or_default().push(found.record),
                ("void", _) => bail!("the batch of request {} is void", answer.request()),
                _ => open += 1,
            }
        }
        bar.set_position((answers.len() - open) as u64);
        if open == 0 {
            bar.finish_and_clear();
            let mut settled = Vec::new();
            for (id, records) in by_batch {
                settled.push(describe(client, id, records).await?);
            }
            return Ok(settled);
        }
        if start.elapsed() > patience {
            bail!("{open} answers are in no final batch after {} s", patience.as_secs());
        }
        nudge(client).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Time on chain passes only with blocks: one that makes a block for each transaction gets one.
async fn nudge(client: &Client) -> Result<()> {
    let head = client.block_number().await?;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    if client.block_number().await? == head {
        client.transfer(client.address(), U256::ZERO).await?;
    }
    Ok(())
}

async fn describe(client: &Client, id: B256, mut records: Vec<Value>) -> Result<Settled> {
    for record in &mut records {
        record["own"] = parts(client, record).await?;
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Header {
        agent_id: alloy_primitives::U64,
        batch_hash: B256,
        n_records: alloy_primitives::U64,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Batch {
        header: Header,
        transaction: Option<B256>,
        #[serde(default)]
        da: Option<String>,
        #[serde(default)]
        da_commitment: Option<Bytes>,
    }
    // Shown as JSON first: `rpc` wants a type that can be printed.
    let raw: Value = client.rpc("tributary_getBatch", json!([id])).await?;
    let batch: Batch = serde_json::from_value(raw)?;
    Ok(Settled {
        id,
        transaction: batch.transaction,
        da: batch.da.unwrap_or_default(),
        da_commitment: batch.da_commitment.unwrap_or_default(),
        batch_hash: batch.header.batch_hash,
        agent: batch.header.agent_id.to(),
        records,
        count: batch.header.n_records.to::<u64>() as usize,
    })
}

/// What one record's fee is cut into, by the parameters of its block.
async fn parts(client: &Client, record: &Value) -> Result<Value> {
    let block = u64::try_from(quantity(&record["l2Block"]))?;
    let params = client.call(PARAMS, &IParams::allAtCall { blockNumber: block }).await?;
    let param = |name: &str| -> Result<u128> {
        let mut key = B256::ZERO;
        key[..name.len()].copy_from_slice(name.as_bytes());
        let found = params.iter().find(|param| param.key == key);
        Ok(found.ok_or_eyre(format!("no parameter {name}"))?.value.to())
    };
    let rules = SplitParams {
        platform_fee: param("platformFee")?,
        model_bps: param("betaBps")?.try_into()?,
        stakers_bps: param("gammaBps")?.try_into()?,
        base_share_bps: param("baseShareBps")?.try_into()?,
    };
    let cut = split(quantity(&record["fee"]), &rules, quantity(&record["adapterId"]) != 0)?;
    let mut attributed = 0;
    for share in record["shares"].as_array().into_iter().flatten() {
        attributed += share_amount(cut.contributors, quantity(&share["ppb"]).try_into()?)?;
    }
    Ok(json!({
        "platform": U128::from(cut.platform),
        "base": U128::from(cut.base),
        "adapter": U128::from(cut.adapter),
        "stakers": U128::from(cut.stakers),
        "delta": U128::from(cut.contributors),
        "contributors": U128::from(attributed),
        "treasury": U128::from(cut.contributors - attributed),
    }))
}

/// A hex quantity of a record.
pub(super) fn quantity(value: &Value) -> u128 {
    serde_json::from_value::<U128>(value.clone()).map_or(0, |quantity| quantity.to())
}

/// Everyone claims; platform and treasury were paid when the batch became final.
pub(super) async fn claim_everything(
    wallets: &Wallets,
    stage: &Stage,
    before: &Before,
    batches: &[Settled],
    narrator: &Narrator,
) -> Result<Vec<Payout>> {
    let mut owed: BTreeMap<Address, u128> = BTreeMap::new();
    for record in batches.iter().flat_map(|batch| &batch.records) {
        for payee in record["payees"].as_array().into_iter().flatten() {
            if let Some(account) = payee["account"].as_str().and_then(|text| text.parse().ok()) {
                *owed.entry(account).or_default() += quantity(&payee["amount"]);
            }
        }
    }
    let mut claimants: Vec<(&Client, &'static str)> = vec![(&wallets.builder, "model owner")];
    claimants.extend(wallets.contributors.iter().map(|client| (client, "contributor")));
    let bar = narrator.bar(claimants.len() + 1, "claim");
    let mut payouts = Vec::new();
    for (client, role) in claimants {
        let account = client.address();
        let claims = claim_all(client).await?;
        bar.inc(1);
        payouts.push(Payout {
            account,
            role,
            owed: owed.remove(&account).unwrap_or_default(),
            claimed: claims.iter().map(|claim| claim.amount).sum(),
            beside: 0,
            before: before.balances.get(&account).copied().unwrap_or_default(),
            after: client.balance(account).await?,
            cost: claims.iter().map(|claim| claim.cost).sum(),
        });
    }
    payouts.extend(owner(wallets, stage, before, batches).await?);
    bar.finish_and_clear();
    payouts.push(treasury(wallets, before, batches).await?);
    Ok(payouts)
}

/// The agent's owner: the platform fee came when the batch was final, γ is collected through his stake. Batches of others become
/// final meanwhile, also in the very block that collects.
async fn owner(
    wallets: &Wallets,
    stage: &Stage,
    before: &Before,
    batches: &[Settled],
) -> Result<[Payout; 2]> {
    let client = &wallets.staker;
    let account = client.address();
    let collected = collect(client, stage.agent).await?;
    let block = match &collected {
        Some(collected) => collected.block,
        None => client.block_number().await?,
    };
    let paid = async |blocks| -> Result<u128> {
        let finalized = finalized(wallets, Some(stage.agent), blocks).await?;
        Ok(finalized.iter().map(|totals| totals.platform).sum())
    };
    let between = client.balance_at(account, block - 1).await?;
    let platform = Payout {
        account,
        role: "platform",
        owed: total(batches, "platform"),
        claimed: paid(before.block + 1..=block - 1).await?,
        beside: 0,
        before: before.balances.get(&account).copied().unwrap_or_default(),
        after: between,
        cost: U256::ZERO,
    };
    let staker = Payout {
        account,
        role: "staker",
        owed: total(batches, "stakers"),
        claimed: collected.map_or(0, |collected| collected.amount),
        beside: paid(block..=block).await?,
        before: between,
        after: client.balance_at(account, block).await?,
        cost: collected.map_or(U256::ZERO, |collected| collected.cost),
    };
    Ok([platform, staker])
}

async fn treasury(wallets: &Wallets, before: &Before, batches: &[Settled]) -> Result<Payout> {
    let account = wallets.treasury;
    let until = wallets.payer.block_number().await?;
    let finalized = finalized(wallets, None, before.block + 1..=until).await?;
    Ok(Payout {
        account,
        role: "treasury",
        owed: total(batches, "treasury"),
        claimed: finalized.iter().map(|totals| totals.treasury).sum(),
        beside: 0,
        before: before.balances.get(&account).copied().unwrap_or_default(),
        after: wallets.payer.balance_at(account, until).await?,
        cost: U256::ZERO,
    })
}

/// Totals of every batch that became final in these blocks: this run's and others'.
async fn finalized(
    wallets: &Wallets,
    agent: Option<u64>,
    blocks: RangeInclusive<u64>,
) -> Result<Vec<Totals>> {
    let events: Vec<BatchFinalized> = wallets.payer.agent_events(ATTRIBUTION, agent, blocks).await?;
    Ok(events.into_iter().map(|event| event.totals).collect())
}

/// What this run's records pay into one of the parts.
pub(super) fn total(batches: &[Settled], field: &str) -> u128 {
    batches
        .iter()
        .map(|batch| batch.records.iter().map(|record| quantity(&record["own"][field])).sum::<u128>())
        .sum()
}
