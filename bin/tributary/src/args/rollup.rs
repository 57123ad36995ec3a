//! `--builder.*` and `--rollup.*`.

use clap::Args;

/// Payload building.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Builder")]
pub(crate) struct RollupArgs {
    /// Gas limit of the blocks of a dev chain.
    #[arg(long = "builder.gaslimit", value_name = "GAS")]
    pub(crate) gas_limit: Option<u64>,
}
