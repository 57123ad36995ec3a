//! Flags of every command that signs: the endpoint and the key.

use std::path::PathBuf;

use alloy_signer_local::PrivateKeySigner;
use clap::Args;
use eyre::{OptionExt, Result};
use url::Url;

use crate::wallet::{Client, load_signer};

/// The wallet.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Wallet")]
pub(crate) struct WalletArgs {
    /// JSON-RPC endpoint.
    #[arg(long, env = "TRIBUTARY_RPC", default_value = "http://127.0.0.1:8545")]
    pub(crate) rpc: Url,

    /// The key: an encrypted keystore (JSON) or a file with a hex key.
    #[arg(long, env = "TRIBUTARY_KEYSTORE", value_name = "PATH")]
    pub(crate) keystore: Option<PathBuf>,

    /// File with the keystore's password; asked for without it.
    #[arg(long, env = "TRIBUTARY_PASSWORD_FILE", value_name = "PATH")]
    pub(crate) password_file: Option<PathBuf>,

    /// Answer in JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl WalletArgs {
    /// Connects with the key that was named.
    pub(crate) async fn client(&self) -> Result<Client> {
        let path = self
            .keystore
            .as_deref()
            .ok_or_eyre("name your key with --keystore (make one with `tributary wallet new`)")?;
        Client::connect(&self.rpc, load_signer(path, self.password_file.as_deref())?).await
    }

    /// Connects for reading: no key is needed, none is used.
    pub(crate) async fn reader(&self) -> Result<Client> {
        Client::connect(&self.rpc, PrivateKeySigner::random()).await
    }
}
