//! `tributary db`: what is in the database, and whether it holds together.

use clap::Subcommand;
use eyre::Result;

use crate::{
    args::{ChainArgs, DatadirArgs, Layout},
    output::{print, table},
};

/// The database of a stopped node.
#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Entries and bytes of each table.
    Stats(DbArgs),
    /// Recompute the head's state root from its leaves, and check the indices.
    Verify(DbArgs),
}

/// Which database.
#[derive(Debug, clap::Args)]
pub(crate) struct DbArgs {
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    datadir: DatadirArgs,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}
