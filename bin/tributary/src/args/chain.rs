//! `--chain`.

use std::sync::Arc;

use clap::Args;
use eyre::{Context, Result};
use tributary_spec::ChainSpec;

/// The chain.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Chain")]
pub(crate) struct ChainArgs {
    /// `dev`, or the path of a geth-style genesis JSON file.
    #[arg(long, value_name = "CHAIN_OR_PATH", default_value = "dev")]
    pub(crate) chain: String,
}

impl ChainArgs {
    /// Loads the chain that was named.
    pub(crate) fn load(&self) -> Result<Arc<ChainSpec>> {
        if self.chain == "dev" {
            return Ok(ChainSpec::dev());
        }
        let json = std::fs::read(&self.chain)
            .wrap_err_with(|| format!("--chain {}: neither a known name nor a readable file", self.chain))?;
        Ok(Arc::new(ChainSpec::from_json(&json).wrap_err_with(|| format!("--chain {}", self.chain))?))
    }
}
