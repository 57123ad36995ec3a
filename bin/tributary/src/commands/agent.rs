//! `tributary agent`: register, stake, show.

use alloy_primitives::{Address, U256};
use clap::{Subcommand, ValueEnum};
use eyre::{Result, ensure};
use serde_json::json;
use tributary_abi::{
    IAgents, IAttribution,
    address::{AGENTS, ATTRIBUTION},
};

use crate::{
    args::WalletArgs,
    economy::{collect, register_agent},
    output::{open, pairs, parse_open, print},
    wallet::Client,
};

/// What an agent does.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// Serves requests.
    Operator,
    /// Checks batches.
    Validator,
    /// Acts on its own.
    Autonomous,
}

/// Agents: who serves, with what at stake.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Register an agent with a stake of your own.
    Register {
        /// What it does.
        #[arg(long, value_enum, default_value = "operator")]
        kind: Kind,
        /// Where it serves.
        #[arg(long, default_value = "")]
        uri: String,
        /// The key that commits batches; yours without it. `tributary_workerStatus` tells a node's.
        #[arg(long)]
        operator: Option<Address>,
        /// Stake.
        #[arg(long, value_parser = parse_open)]
        stake: u128,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// Add stake to an agent, your own or another's.
    Stake {
        /// The agent.
        id: u64,
        /// How much.
        #[arg(value_parser = parse_open)]
        amount: u128,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// Ask for stake back; it can be withdrawn after the cooldown.
    Unstake {
        /// The agent.
        id: u64,
        /// How much of it in OPEN (`1.5`, `20gwei`, `7wei`), or `all`.
        #[arg(value_parser = parse_part)]
        amount: Part,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// Withdraw stake whose cooldown is over.
    Withdraw {
        /// The agent.
        id: u64,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// Collect what your stake earned.
    Collect {
        /// The agent.
        id: u64,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// An agent, its stake and its batches.
    Show {
        /// The agent.
        id: u64,
        #[command(flatten)]
        wallet: WalletArgs,
    },
}

impl AgentCommand {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Register { kind, uri, operator, stake, wallet } => {
                let client = wallet.client().await?;
                let operator = operator.unwrap_or_else(|| client.address());
                let id = register_agent(&client, kind as u8, &uri, operator, U256::from(stake)).await?;
                print(wallet.json, &json!({"id": id, "operator": operator}), |_| {
                    pairs([
                        ("agent", id.to_string()),
                        ("operator", operator.to_string()),
                        ("stake", open(stake)),
                    ])
                })
            }
            Self::Stake { id, amount, wallet } => {
                let client = wallet.client().await?;
                let sent = client.send(AGENTS, &IAgents::stakeCall { id }, U256::from(amount)).await?;
                let event = sent.event::<IAgents::Staked>(AGENTS)?;
                let shown =
                    json!({"agent": id, "shares": event.shares.to_string(), "earnsFrom": event.earnsFrom});
                print(wallet.json, &shown, |_| {
                    pairs([
                        ("agent", id.to_string()),
                        ("shares", event.shares.to_string()),
                        ("earns from", event.earnsFrom.to_string()),
                    ])
                })
            }
            Self::Unstake { id, amount, wallet } => {
                let client = wallet.client().await?;
                let call = IAgents::requestUnstakeCall { id, shares: shares(&client, id, amount).await? };
                let event = client
                    .send(AGENTS, &call, U256::ZERO)
                    .await?
                    .event::<IAgents::UnstakeRequested>(AGENTS)?;
                print(wallet.json, &json!({"agent": id, "readyAt": event.readyAt}), |_| {
                    pairs([("agent", id.to_string()), ("ready at", event.readyAt.to_string())])
                })
            }
            Self::Withdraw { id, wallet } => {
                let client = wallet.client().await?;
                let sent = client.send(AGENTS, &IAgents::withdrawCall { id }, U256::ZERO).await?;
                let event = sent.event::<IAgents::Withdrawn>(AGENTS)?;
                print(wallet.json, &json!({"agent": id, "assets": event.assets.to_string()}), |_| {
                    pairs([("agent", id.to_string()), ("withdrawn", open(event.assets))])
                })
            }
            Self::Collect { id, wallet } => {
                let collected =
                    collect(&wallet.client().await?, id).await?.map_or(0, |collected| collected.amount);
                print(wallet.json, &json!({"agent": id, "collected": collected.to_string()}), |_| {
                    pairs([("agent", id.to_string()), ("collected", open(collected))])
                })
            }
            Self::Show { id, wallet } => show(id, &wallet).await,
        }
    }
}

/// The whole of something, or so many wei.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    All,
    Wei(u128),
}

fn parse_part(text: &str) -> std::result::Result<Part, String> {
    if text == "all" { Ok(Part::All) } else { parse_open(text).map(Part::Wei) }
}

/// The shares of one's own stake, beside what is being unstaked already, that are worth this much now, rounded up.
async fn shares(client: &Client, id: u64, part: Part) -> Result<u128> {
    let position = client.call(AGENTS, &IAgents::positionCall { id, account: client.address() }).await?;
    let free = position.shares.saturating_sub(position.unstaking);
    let Part::Wei(amount) = part else { return Ok(free) };
    let agent = client.call(AGENTS, &IAgents::getCall { id }).await?;
    let shares = (U256::from(amount) * U256::from(agent.shares)).div_ceil(U256::from(agent.assets.max(1)));
    let worth = U256::from(free) * U256::from(agent.assets) / U256::from(agent.shares.max(1));
    ensure!(shares <= U256::from(free), "your stake that can be unstaked is worth {}", open(worth));
    Ok(shares.to())
}

async fn show(id: u64, wallet: &WalletArgs) -> Result<()> {
    let client = wallet.reader().await?;
    let agent = client.call(AGENTS, &IAgents::getCall { id }).await?;
    let chain = client.call(ATTRIBUTION, &IAttribution::chainOfCall { agentId: id }).await?;
    let shown = json!({
        "id": id, "kind": agent.kind, "owner": agent.owner, "operator": agent.operator, "uri": agent.uri,
        "retiredFrom": agent.retiredFrom, "slashed": agent.slashed, "assets": agent.assets.to_string(),
        "shares": agent.shares.to_string(), "ownerStake": agent.ownerStake.to_string(),
        "lastBatch": chain.lastSeq, "finalBatch": chain.finalSeq,
    });
    print(wallet.json, &shown, |_| {
        pairs([
            ("agent", id.to_string()),
            ("owner", agent.owner.to_string()),
            ("operator", agent.operator.to_string()),
            ("serves at", agent.uri.clone()),
            ("stake", open(agent.assets)),
            ("owner's own", open(agent.ownerStake)),
            ("batches", format!("{} committed, {} final", chain.lastSeq, chain.finalSeq)),
            (
                "state",
                if agent.slashed {
                    "slashed"
                } else if agent.retiredFrom != 0 {
                    "retired"
                } else {
                    "active"
                }
                .to_owned(),
            ),
        ])
    })
}
