//! `tributary explain`: why an answer paid whom.

use alloy_primitives::{Address, B256};
use clap::Args;
use eyre::{Context, OptionExt, Result};
use serde_json::{Value, json};

use crate::{
    args::WalletArgs,
    commands::channel_for,
    output::{open, print, table},
};

/// Spans, sources, shares and payouts of an answer.
#[derive(Debug, Args)]
pub(crate) struct ExplainCommand {
    /// The request id, as the receipt says.
    request: B256,
    /// Its channel; your newest open one with this node's agent without it.
    #[arg(long)]
    channel: Option<B256>,
    #[command(flatten)]
    wallet: WalletArgs,
}

impl ExplainCommand {
    pub(crate) async fn run(self) -> Result<()> {
        let (client, channel) = match self.channel {
            Some(channel) => (self.wallet.reader().await?, channel),
            None => {
                let client = self.wallet.client().await.wrap_err("without --channel it is your own")?;
                let channel =
                    channel_for(&client, None).await?.ok_or_eyre("name the channel with --channel")?;
                (client, channel)
            }
        };
        let explained: Value = client.rpc("tributary_explain", json!([channel, self.request])).await?;
        print(self.wallet.json, &explained, |explained| {
            let head = format!(
                "{} answered with {} tokens for {}; batch {} is {}",
                explained["model"].as_str().unwrap_or("a model"),
                explained["record"]["output"].as_array().map_or(0, Vec::len),
                open(wei(&explained["record"]["fee"])),
                explained["batchId"].as_str().unwrap_or("not yet packed"),
                explained["status"].as_str().unwrap_or("unknown"),
            );
            let paid = explained["payouts"].as_array().map_or_else(
                || "who is paid is fixed when the answer is in a batch: ask again in a moment".to_owned(),
                |payouts| self::payouts(explained, payouts).to_string(),
            );
            format!("{head}\n{}\n{paid}", spans(explained))
        })
    }
}

fn spans(explained: &Value) -> comfy_table::Table {
    let mut table = table(&["answer tokens", "contribution", "its tokens", "contributor", "source"]);
    let none = Vec::new();
    let sources = explained["sources"].as_array().unwrap_or(&none);
    for span in explained["record"]["spans"].as_array().unwrap_or(&none) {
        let number = |field: &str| wei(&span[field]);
        let source = sources.iter().find(|source| source["id"] == span["contributionId"]);
        let text = |field: &str| source.and_then(|source| source[field].as_str()).unwrap_or("–").to_owned();
        table.add_row([
            format!("{}–{}", number("start"), number("start") + number("len")),
            number("contributionId").to_string(),
            format!("{}–{}", number("offset"), number("offset") + number("len")),
            text("contributor"),
            text("uri"),
        ]);
    }
    table
}

/// Who is paid what of the fee.
fn payouts(explained: &Value, payouts: &[Value]) -> comfy_table::Table {
    let mut table = table(&["paid to", "account", "amount"]);
    let none = Vec::new();
    let sources = explained["sources"].as_array().unwrap_or(&none);
    let mut rest = wei(&explained["record"]["fee"]);
    for payout in payouts {
        let amount = wei(&payout["amount"]);
        rest = rest.saturating_sub(amount);
        let contributes = sources.iter().any(|source| source["contributor"] == payout["account"]);
        let role = if contributes { "contributor" } else { "model owner" };
        let account = payout["account"].as_str().and_then(|text| text.parse::<Address>().ok());
        table.add_row([role.to_owned(), account.unwrap_or_default().to_string(), open(amount)]);
    }
    table.add_row(["platform, stakers, treasury".to_owned(), "–".to_owned(), open(rest)]);
    table
}

/// A hex quantity.
fn wei(value: &Value) -> u128 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).unwrap_or("0");
    u128::from_str_radix(digits, 16).unwrap_or_default()
}
