//! `tributary init`: a database at genesis.

use clap::Args;
use eyre::Result;
use tributary_evm::Executor;
use tributary_tree::{Chain, ChainConfig};

use crate::args::{ChainArgs, DatadirArgs, Layout};

/// Make a database at genesis and print the genesis hash. Does nothing to one that is there.
#[derive(Debug, Args)]
pub(crate) struct InitCommand {
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    datadir: DatadirArgs,
}

impl InitCommand {
    pub(crate) fn run(self) -> Result<()> {
        let spec = self.chain.load()?;
        let layout = Layout::new(self.datadir.resolve(&spec));
        std::fs::create_dir_all(layout.database())?;
        let chain = Chain::open(Executor::new(spec.clone()), &layout.database(), ChainConfig::default())?;
        chain.shutdown()?;
        println!("{}", spec.genesis_hash());
        Ok(())
    }
}
