//! `--operator.*` and `--batch.*`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

/// The operator's identity and the poster.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Settlement")]
pub(crate) struct SettlementArgs {
    /// Id of the agent this node serves as. Default: the one whose operator is the key's address.
    #[arg(long = "operator.agent", value_name = "ID")]
    pub(crate) agent: Option<u64>,

    /// The operator's key: an encrypted keystore (JSON) or a file with a hex key.
    #[arg(long = "operator.key", value_name = "PATH")]
    pub(crate) key: Option<PathBuf>,

    /// File with the keystore's password.
    #[arg(long = "operator.password-file", value_name = "PATH")]
    pub(crate) password_file: Option<PathBuf>,

    /// Longest time a record waits for its batch.
    #[arg(long = "batch.interval", value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) batch_interval: Duration,
}
