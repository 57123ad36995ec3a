//! `tributary channel`: open, top up, close, show.

use alloy_primitives::{B256, U256};
use clap::Subcommand;
use eyre::Result;
use serde_json::json;
use tributary_abi::{ISettlement, address::SETTLEMENT};

use crate::{
    args::WalletArgs,
    economy::{Closing, close_channel, open_channel},
    output::{open, pairs, parse_open, print},
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
        wallet: WalletArgs,
    },
    /// Ask for the end of a channel; run it again after the delay to get the rest back.
    Close {
        /// The channel.
        channel: B256,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// A channel.
    Show {
        /// The channel.
        channel: B256,
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
            Self::TopUp { channel, amount, wallet } => {
                let client = wallet.client().await?;
                client.send(SETTLEMENT, &ISettlement::topUpCall { channel }, U256::from(amount)).await?;
                show(channel, &wallet).await
            }
            Self::Close { channel, wallet } => match close_channel(&wallet.client().await?, channel).await? {
                Closing::From(at) => print(wallet.json, &json!({"closeAt": at}), |_| {
                    pairs([("closing", channel.to_string()), ("close again from", at.to_string())])
                }),
                Closing::Closed(back) => print(wallet.json, &json!({"paidBack": back.to_string()}), |_| {
                    pairs([("closed", channel.to_string()), ("paid back", open(back))])
                }),
            },
            Self::Show { channel, wallet } => show(channel, &wallet).await,
        }
    }
}

async fn show(channel: B256, wallet: &WalletArgs) -> Result<()> {
    let client = wallet.reader().await?;
    let info = client.call(SETTLEMENT, &ISettlement::getChannelCall { channel }).await?;
    let state = ["unknown", "open", "closing", "closed"][usize::from(info.status.min(3))];
    let shown = json!({
        "channel": channel, "agent": info.agentId, "payer": info.payer, "signer": info.signer, "status": state,
        "closeAt": info.closeAt, "deposited": info.deposited.to_string(), "settled": info.settled.to_string(),
    });
    print(wallet.json, &shown, |_| {
        pairs([
            ("channel", channel.to_string()),
            ("agent", info.agentId.to_string()),
            ("payer", info.payer.to_string()),
            ("state", state.to_owned()),
            ("deposited", open(info.deposited)),
            ("settled", open(info.settled)),
        ])
    })
}
