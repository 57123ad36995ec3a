//! `tributary wallet`: keys and balances.

use std::path::PathBuf;

use alloy_primitives::Address;
use alloy_signer_local::PrivateKeySigner;
use clap::Subcommand;
use eyre::Result;
use serde::Serialize;

use crate::{
    args::WalletArgs,
    output::{open, pairs, print},
    wallet::{dev_signer, load_signer, new_keystore},
};

/// Keys and balances.
#[derive(Debug, Subcommand)]
pub(crate) enum WalletCommand {
    /// Make a new encrypted keystore.
    New {
        /// File to write.
        path: PathBuf,
        /// File with the password; asked for without it.
        #[arg(long, env = "TRIBUTARY_PASSWORD_FILE")]
        password_file: Option<PathBuf>,
        /// Answer in JSON.
        #[arg(long)]
        json: bool,
    },
    /// Put a key file, or a well-known dev account, into an encrypted keystore.
    Import {
        /// File to write.
        path: PathBuf,
        /// File with the key in hex.
        #[arg(long, conflicts_with = "dev_account", required_unless_present = "dev_account")]
        key_file: Option<PathBuf>,
        /// Index of a dev account (`test … junk`), 0 to 9.
        #[arg(long, value_parser = clap::value_parser!(u32).range(0..10))]
        dev_account: Option<u32>,
        /// File with the password; asked for without it.
        #[arg(long, env = "TRIBUTARY_PASSWORD_FILE")]
        password_file: Option<PathBuf>,
        /// Answer in JSON.
        #[arg(long)]
        json: bool,
    },
    /// Address and balance.
    Show(WalletArgs),
    /// Send OPEN.
    Send {
        /// Receiver.
        to: Address,
        /// Amount (`1.5`, `20gwei`, `7wei`).
        #[arg(value_parser = crate::output::parse_open)]
        amount: u128,
        #[command(flatten)]
        wallet: WalletArgs,
    },
}

#[derive(Serialize)]
struct Shown {
    address: Address,
    balance: String,
}

impl WalletCommand {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::New { path, password_file, json } => {
                made(json, &new_keystore(&path, password_file.as_deref(), None)?)
            }
            Self::Import { path, key_file, dev_account, password_file, json } => {
                let key = match (key_file, dev_account) {
                    (Some(file), _) => load_signer(&file, None)?,
                    (None, index) => dev_signer(index.unwrap_or_default())?,
                };
                made(json, &new_keystore(&path, password_file.as_deref(), Some(&key))?)
            }
            Self::Show(wallet) => {
                let client = wallet.client().await?;
                let balance = client.balance(client.address()).await?;
                let shown = Shown { address: client.address(), balance: balance.to_string() };
                print(wallet.json, &shown, |s| {
                    pairs([("address", s.address.to_string()), ("balance", open(balance))])
                })
            }
            Self::Send { to, amount, wallet } => {
                let sent = wallet.client().await?.transfer(to, alloy_primitives::U256::from(amount)).await?;
                print(
                    wallet.json,
                    &serde_json::json!({"transaction": sent.hash, "block": sent.block}),
                    |_| pairs([("transaction", sent.hash.to_string()), ("block", sent.block.to_string())]),
                )
            }
        }
    }
}

/// Whose keystore was made: the address alone, so that a script can take it.
fn made(json: bool, signer: &PrivateKeySigner) -> Result<()> {
    print(json, &serde_json::json!({"address": signer.address()}), |_| signer.address())
}
