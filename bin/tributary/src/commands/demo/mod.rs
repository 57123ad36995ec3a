//! `tributary demo`: the whole of what the node is for, against a running one, through its public interfaces only.
//!
//! ```text
//! contributors ─ datanets ─┐
//! builder ─ adapters ──────┼─▶ 12 questions at once ─▶ receipts ─▶ batch on DA and chain ─▶ final ─▶ everyone claims
//! operator ─ stake ────────┤                                                                         │
//! payer ─ channel ─────────┘                                              checks, to the wei ◀───────┘
//! ```
//!
//! A second run finds what the first registered, and goes on from there.

mod ask;
mod checks;
mod report;
mod settle;
mod setup;
mod wallets;

use std::{io::Write, path::PathBuf, time::Duration};

use clap::Args;
use eyre::{Result, bail, ensure};
use url::Url;

use self::{report::Report, wallets::Wallets};
use crate::{
    args::LedgerArgs,
    commands::worker_status,
    payer::{Payer, Spending},
    wallet::{Client, dev_signer},
};

/// Run the main job against a dev node: data, adapters, answers, settlement, claims.
#[derive(Debug, Args)]
pub(crate) struct DemoCommand {
    /// JSON-RPC endpoint.
    #[arg(long, env = "TRIBUTARY_RPC", default_value = "http://127.0.0.1:8545")]
    rpc: Url,
    /// The OpenAI-compatible API.
    #[arg(long, env = "TRIBUTARY_API", default_value = "http://127.0.0.1:8000")]
    api: Url,
    /// Folder of the two adapters.
    #[arg(long, default_value = "adapters")]
    adapters: PathBuf,
    /// Folder of the dictionaries (Debian packages dict-devil and dict-jargon).
    #[arg(long, default_value = "/usr/share/dictd")]
    dictionaries: PathBuf,
    /// Folder that keeps the documents' files.
    #[arg(long)]
    store: Option<PathBuf>,
    #[command(flatten)]
    ledger: LedgerArgs,
    /// How long to wait for the batch to be final.
    #[arg(long, default_value = "180s", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// Progress for people; nothing in JSON mode.
pub(super) struct Narrator {
    json: bool,
}

impl Narrator {
    pub(super) fn say(&self, line: impl std::fmt::Display) {
        if !self.json {
            // Who looks no more does not stop it.
            drop(writeln!(std::io::stdout(), "{line}"));
        }
    }

    pub(super) fn bar(&self, length: usize, what: &str) -> indicatif::ProgressBar {
        crate::output::progress(length, what, self.json)
    }
}

impl DemoCommand {
    pub(crate) async fn run(self) -> Result<()> {
        let narrator = Narrator { json: self.json };
        let report = self.play(&narrator).await?;
        sigpipe::reset();
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            report.print();
        }
        let failed = report.checks.iter().filter(|check| !check.ok).count();
        ensure!(failed == 0, "{failed} of {} checks failed", report.checks.len());
        Ok(())
    }

    async fn play(&self, narrator: &Narrator) -> Result<Report> {
        let funder = Client::connect(&self.rpc, dev_signer(0)?).await?;
        let status = worker_status(&funder).await?;
        if status.payments == "off" {
            bail!("the node serves without payment (--payments off): there is nothing to settle");
        }
        narrator.say(format_args!(
            "chain {}, model {}, operator {}",
            funder.chain_id(),
            status.model.name,
            status.operator
        ));
        let wallets = Wallets::fund(&funder, &status, narrator).await?;
        let stage = setup::stage(self, &wallets, &status, narrator).await?;
        let before = wallets.balances(&stage).await?;
        let spending = Spending { ledgers: self.ledger.folder(), accept_spent: None, max_fee: None };
        let payer =
            Payer::new(wallets.payer.clone(), self.api.clone(), Some(stage.channel), spending).await?;
        let answers = ask::ask_all(&payer, &stage, narrator).await?;
        let batches = settle::wait_until_final(&wallets, &stage, &answers, self.patience, narrator).await?;
        let payouts = settle::claim_everything(&wallets, &stage, &before, &batches, narrator).await?;
        let checks = checks::all(&wallets, &stage, &before, &answers, &batches, &payouts).await?;
        Ok(Report::new(&stage, answers, batches, payouts, checks))
    }
}
