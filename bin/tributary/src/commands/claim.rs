//! `tributary claim`: what you earned, paid out.

use clap::Args;
use eyre::Result;

use crate::{
    args::WalletArgs,
    economy::claim_all,
    output::{open, print, table},
};

/// Claim everything that final batches credit you.
#[derive(Debug, Args)]
pub(crate) struct ClaimCommand {
    #[command(flatten)]
    wallet: WalletArgs,
}

impl ClaimCommand {
    pub(crate) async fn run(self) -> Result<()> {
        let claimed = claim_all(&self.wallet.client().await?).await?;
        print(self.wallet.json, &claimed, |claimed| {
            let mut table = table(&["agent", "claimed", "transaction"]);
            for one in claimed {
                table.add_row([one.agent_id.to_string(), open(one.amount), one.transaction.to_string()]);
            }
            if claimed.is_empty() {
                table.add_row(["–", "nothing is due", ""]);
            }
            table
        })
    }
}
