//! `--dev` and `--dev.block-time`.

use std::time::Duration;

use clap::Args;

/// The embedded sequencer of a development chain.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Dev")]
pub(crate) struct DevArgs {
    /// Sequence blocks here, without an L1 and without op-node.
    #[arg(long)]
    pub(crate) dev: bool,

    /// Time between blocks (`1s`, `500ms`); 0: a block for each transaction.
    #[arg(long = "dev.block-time", value_name = "DURATION", default_value = "1s", value_parser = parse_block_time)]
    pub(crate) block_time: Duration,
}

fn parse_block_time(text: &str) -> Result<Duration, humantime::DurationError> {
    if text == "0" { Ok(Duration::ZERO) } else { humantime::parse_duration(text) }
}
