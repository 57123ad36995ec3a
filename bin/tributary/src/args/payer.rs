//! Flags of what pays for requests.

use std::path::PathBuf;

use alloy_primitives::B256;
use clap::Args;
use url::Url;

use super::data_home;
use crate::{output::parse_open, payer::Spending};

/// Who is paid, from what, and how much at most.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Payment")]
pub(crate) struct PayerArgs {
    /// The OpenAI-compatible API that is paid.
    #[arg(long, env = "TRIBUTARY_API", default_value = "http://127.0.0.1:8000")]
    pub(crate) api: Url,

    /// The channel that pays; your newest open one with this node's agent without it.
    #[arg(long)]
    pub(crate) channel: Option<B256>,

    /// Most that one request may cost.
    #[arg(long, value_name = "AMOUNT", value_parser = parse_open)]
    pub(crate) max_fee: Option<u128>,

    /// Take the agent's word, once, that up to this much of the channel was spent: after another machine paid from it, or this one's ledger was lost.
    #[arg(long, value_name = "AMOUNT", value_parser = parse_open)]
    pub(crate) accept_spent: Option<u128>,

    #[command(flatten)]
    pub(crate) ledger: LedgerArgs,
}

/// Where is written what was promised.
#[derive(Clone, Debug, Args)]
pub(crate) struct LedgerArgs {
    /// Folder of the ledgers of your channels, one file each. Default: `$XDG_DATA_HOME/tributary/channels`.
    #[arg(long = "ledgers", env = "TRIBUTARY_LEDGERS", value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl LedgerArgs {
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(|| data_home().join("tributary").join("channels"))
    }
}

impl PayerArgs {
    pub(crate) fn spending(&self) -> Spending {
        Spending { ledgers: self.ledger.folder(), accept_spent: self.accept_spent, max_fee: self.max_fee }
    }
}
