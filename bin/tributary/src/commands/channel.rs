//! `tributary channel`: open, top up, close, show.

use alloy_primitives::{B256, U256};
use clap::Subcommand;
use eyre::Result;
use serde_json::json;
use tributary_abi::{ISettlement, address::SETTLEMENT};

use crate::{
    args::{LedgerArgs, WalletArgs},
    economy::{Closing, close_channel, open_channel},
    output::{open, pairs, parse_open, print},
    payer::{Known, known},
};

/// Payment channels: one deposit, then a signed voucher for each request.
#[derive(Debug, Subcommand)]
pub(crate) enum ChannelCommand {
    /// Open a channel with an agent.
    Open {
        /// The agent.
        agent: u64,
        /// What requests may cost in all.
        #[arg(value_parser = parse_open)]
        deposit: u128,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// Add to a channel's deposit.
    TopUp {
        /// The channel.
        channel: B256,
        /// How much.
        #[arg(value_parser = parse_open)]
        amount: u128,
        #[command(flatten)]
        ledger: LedgerArgs,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// Ask for the end of a channel; run it again after the delay to get the rest back.
    Close {
        /// The channel.
        channel: B256,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// A channel: as the chain has it, and what this machine promised in it.
    Show {
        /// The channel.
        channel: B256,
        #[command(flatten)]
        ledger: LedgerArgs,
        #[command(flatten)]
        wallet: WalletArgs,
    },
}

impl ChannelCommand {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Open { agent, deposit, wallet } => {
                let channel = open_channel(&wallet.client().await?, agent, U256::from(deposit)).await?;
                print(wallet.json, &json!({"channel": channel, "agent": agent}), |_| {
                    pairs([
                        ("channel", channel.to_string()),
                        ("agent", agent.to_string()),
                        ("deposit", open(deposit)),
                    ])
                })
            }
            Self::TopUp { channel, amount, ledger, wallet } => {
                let client = wallet.client().await?;
                client.send(SETTLEMENT, &ISettlement::topUpCall { channel }, U256::from(amount)).await?;
                show(channel, &ledger, &wallet).await
            }
            Self::Close { channel, wallet } => match close_channel(&wallet.client().await?, channel).await? {
                Closing::From(at) => print(wallet.json, &json!({"closeAt": at}), |_| {
                    pairs([("closing", channel.to_string()), ("close again from", at.to_string())])
                }),
                Closing::Closed(back) => print(wallet.json, &json!({"paidBack": back.to_string()}), |_| {
                    pairs([("closed", channel.to_string()), ("paid back", open(back))])
                }),
            },
            Self::Show { channel, ledger, wallet } => show(channel, &ledger, &wallet).await,
        }
    }
}

async fn show(channel: B256, ledger: &LedgerArgs, wallet: &WalletArgs) -> Result<()> {
    let client = wallet.reader().await?;
    let info = client.call(SETTLEMENT, &ISettlement::getChannelCall { channel }).await?;
    let state = ["unknown", "open", "closing", "closed"][usize::from(info.status.min(3))];
    let known = if info.status == 0 { None } else { known(&client, channel, &ledger.folder()).await? };
    let mut shown = json!({
        "channel": channel, "agent": info.agentId, "payer": info.payer, "signer": info.signer, "status": state,
        "closeAt": info.closeAt, "deposited": info.deposited.to_string(), "settled": info.settled.to_string(),
    });
    if let Some(Known { used, outstanding, highest }) = known {
        shown["ledger"] = json!({
            "used": used.to_string(), "outstanding": outstanding.to_string(), "highest": highest.to_string(),
        });
    }
    let here =
        |amount: fn(&Known) -> u128| known.as_ref().map_or("–".to_owned(), |known| open(amount(known)));
    print(wallet.json, &shown, |_| {
        pairs([
            ("channel", channel.to_string()),
            ("agent", info.agentId.to_string()),
            ("payer", info.payer.to_string()),
            ("state", state.to_owned()),
            ("deposited", open(info.deposited)),
            ("settled", open(info.settled)),
            ("proved here to be used", here(|known| known.used)),
            ("without receipt here", here(|known| known.outstanding)),
            ("highest cap signed here", here(|known| known.highest)),
        ])
    })
}
