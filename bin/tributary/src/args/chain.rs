//! `--chain`.

use std::{path::Path, sync::Arc};

use clap::Args;
use eyre::{Context, Result};
use tributary_registry::KnownChain;
use tributary_spec::ChainSpec;

use crate::files::read_bounded;

/// Largest genesis file that is read: OP Mainnet's, with all its state, is of 1.5 GB, and cannot be used here.
const MAX_GENESIS: u64 = 1 << 30;

/// The chain.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Chain")]
pub(crate) struct ChainArgs {
    /// `dev`, a chain of the superchain registry (`op-sepolia`, `unichain`, ...), or the path of a geth-style genesis JSON file.
    #[arg(long, value_name = "CHAIN_OR_PATH", default_value = "dev")]
    pub(crate) chain: String,
}

impl ChainArgs {
    /// Loads the chain that was named.
    pub(crate) fn load(&self) -> Result<Arc<ChainSpec>> {
        self.load_as(KnownChain::spec)
    }

    /// Loads the rules of the chain that was named: enough where no state of its own is needed.
    pub(crate) fn load_rules(&self) -> Result<Arc<ChainSpec>> {
        self.load_as(KnownChain::rules)
    }

    fn load_as(
        &self,
        known: fn(&KnownChain) -> Result<ChainSpec, tributary_registry::RegistryError>,
    ) -> Result<Arc<ChainSpec>> {
        let name = &self.chain;
        if name == "dev" {
            return Ok(ChainSpec::dev());
        }
        let named = || format!("--chain {name}");
        if let Some(chain) = tributary_registry::find(name).wrap_err_with(named)? {
            if let Some(since) = chain.departed() {
                let chain = chain.name();
                tracing::warn!(target: "tributary", chain, since, "The chain has followed its own rules since then, which this node does not have");
            }
            return Ok(Arc::new(known(&chain).wrap_err_with(named)?));
        }
        let json = read_bounded(Path::new(name), MAX_GENESIS)
            .wrap_err_with(|| format!("--chain {name}: neither a known name nor a file that can be read"))?;
        Ok(Arc::new(ChainSpec::from_json(&json).wrap_err_with(named)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(chain: &str) -> Result<Arc<ChainSpec>> {
        ChainArgs { chain: chain.to_owned() }.load()
    }

    #[test]
    fn a_chain_has_a_name_or_a_file() {
        assert_eq!(load("dev").unwrap().chain_id(), ChainSpec::dev().chain_id());
        assert_eq!(load("op-sepolia").unwrap().chain_id(), 11_155_420);
        let refused = load("op-mainnet").unwrap_err();
        assert!(format!("{refused:#}").contains("before Bedrock"), "{refused:#}");
        let rules = ChainArgs { chain: "op-mainnet".to_owned() }.load_rules().unwrap();
        assert_eq!(rules.chain_id(), 10);
        let unknown = load("op-goerli").unwrap_err();
        assert!(unknown.to_string().starts_with("--chain op-goerli: neither"), "{unknown:#}");
        let endless = format!("{:#}", load("/dev/zero").unwrap_err());
        assert!(endless.starts_with("--chain /dev/zero: ") && endless.contains("larger than"), "{endless}");
    }
}
