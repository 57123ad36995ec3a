//! `tributary init`: a database at genesis.

use alloy_primitives::B256;
use clap::Args;
use eyre::{Context, Result};
use tributary_evm::Executor;
use tributary_tree::{Chain, ChainConfig};

use crate::args::{ChainArgs, DatadirArgs, Layout, make_folder};

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
        println!("{}", self.make()?);
        Ok(())
    }

    /// The genesis hash of what is there now.
    fn make(&self) -> Result<B256> {
        let spec = self.chain.load()?;
        let path = Layout::new(self.datadir.resolve(&spec)).database();
        make_folder(&path)?;
        Chain::open(Executor::new(spec.clone()), &path, ChainConfig::default())
            .and_then(|chain| chain.shutdown())
            .wrap_err_with(|| format!("--datadir: cannot make a database in {}", path.display()))?;
        Ok(spec.genesis_hash())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn init(chain: &str, datadir: &Path) -> Result<B256, String> {
        let chain = ChainArgs { chain: chain.to_owned() };
        let datadir = DatadirArgs { datadir: Some(datadir.to_owned()) };
        InitCommand { chain, datadir }.make().map_err(|error| format!("{error:#}"))
    }

    /// A folder that could not be made was not named: "Permission denied (os error 13)" was all.
    #[test]
    fn every_error_names_its_file_and_what_was_tried() {
        let folder = tempfile::tempdir().unwrap();
        let (file, data) = (folder.path().join("file"), folder.path().join("data"));
        std::fs::write(&file, "nothing").unwrap();
        let beneath = file.join("data/db");
        let error = init("dev", &file.join("data")).unwrap_err();
        assert!(error.starts_with(&format!("--datadir: cannot make {}: ", beneath.display())), "{error}");

        let database = data.join("db");
        std::fs::create_dir_all(&database).unwrap();
        std::fs::write(database.join("holiday.jpg"), "").unwrap();
        let error = init("dev", &data).unwrap_err();
        let tried = format!("--datadir: cannot make a database in {}: ", database.display());
        assert!(error.starts_with(&tried) && error.ends_with("it holds other files"), "{error}");

        for (chain, why) in [(&beneath, "a file that can be read"), (&file, "not valid JSON")] {
            let error = init(chain.to_str().unwrap(), &folder.path().join("other")).unwrap_err();
            assert!(
                error.starts_with(&format!("--chain {}", chain.display())) && error.contains(why),
                "{error}"
            );
        }
    }
}
