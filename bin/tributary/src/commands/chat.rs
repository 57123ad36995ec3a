//! `tributary chat`: one question to a model, paid for.

use clap::Args;
use eyre::Result;
use serde_json::json;
use tributary_api::types::{ChatReply, Content};

use crate::{
    args::{PayerArgs, WalletArgs},
    commands::channel_for,
    output::{open, print, table},
    payer::Payer,
};

/// Ask a model, and see whose data answered.
#[derive(Debug, Args)]
pub(crate) struct ChatCommand {
    /// The base model or an adapter.
    model: String,
    /// The question.
    question: String,
    /// Tokens of answer at most.
    #[arg(long, default_value_t = 160)]
    max_tokens: u32,
    /// 0 is greedy.
    #[arg(long, default_value_t = 0.0, value_parser = parse_temperature)]
    temperature: f64,
    #[command(flatten)]
    payer: PayerArgs,
    #[command(flatten)]
    wallet: WalletArgs,
}

impl ChatCommand {
    pub(crate) async fn run(self) -> Result<()> {
        let client = self.wallet.client().await?;
        let channel = channel_for(&client, self.payer.channel).await?;
        let spending = self.payer.spending();
        let payer = Payer::new(client, self.payer.api, channel, spending).await?;
        let reply = payer
            .chat(&json!({
                "model": self.model,
                "messages": [{"role": "user", "content": self.question}],
                "max_tokens": self.max_tokens,
                "temperature": self.temperature,
            }))
            .await?;
        print(self.wallet.json, &reply, |reply| {
            format!("{}\n\n{}\n{}", text_of(reply), sources(reply), footer(reply))
        })
    }
}

/// JSON has no NaN and no infinity: they would become null, which stands for the server's own default.
fn parse_temperature(text: &str) -> Result<f64, String> {
    let temperature: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if temperature.is_finite() && temperature >= 0.0 {
        Ok(temperature)
    } else {
        Err("a temperature is a finite number, 0 or more".to_owned())
    }
}

/// The answer's text.
pub(crate) fn text_of(reply: &ChatReply) -> String {
    match reply.choices.first().and_then(|choice| choice.message.content.as_ref()) {
        Some(Content::Text(text)) => text.clone(),
        _ => String::new(),
    }
}

fn sources(reply: &ChatReply) -> comfy_table::Table {
    let mut table = table(&["contribution", "contributor", "share", "earns", "words"]);
    let Some(receipt) = &reply.tributary else { return table };
    for share in &receipt.shares {
        let words: Vec<&str> = receipt
            .spans
            .iter()
            .filter(|span| span.contribution_id == share.contribution_id)
            .map(|span| span.text.as_str())
            .collect();
        table.add_row([
            share.contribution_id.to_string(),
            share.contributor.to_string(),
            percent(share.ppb),
            open(share.amount),
            words.join(" … "),
        ]);
    }
    if receipt.unattributed_ppb > 0 {
        let nobody = "nobody (treasury)".to_owned();
        table.add_row([
            "–".to_owned(),
            nobody,
            percent(receipt.unattributed_ppb),
            String::new(),
            String::new(),
        ]);
    }
    table
}

/// What it cost, and the command that tells more.
fn footer(reply: &ChatReply) -> String {
    reply.tributary.as_ref().map_or_else(String::new, |receipt| {
        format!(
            "fee {}\ntributary explain {} --channel {}",
            open(receipt.fee),
            receipt.request_id,
            receipt.channel
        )
    })
}

/// Parts per billion as a percentage.
pub(crate) fn percent(ppb: u32) -> String {
    format!("{}.{} %", ppb / 10_000_000, ppb / 1_000_000 % 10)
}

#[cfg(test)]
mod tests {
    use super::parse_temperature;

    #[test]
    fn a_temperature_is_a_number() {
        assert_eq!((parse_temperature("0"), parse_temperature("0.7")), (Ok(0.0), Ok(0.7)));
        for text in ["nan", "inf", "-inf", "-0.1", "1e999", "", "warm"] {
            assert!(parse_temperature(text).is_err(), "{text}");
        }
    }
}
