//! `--datadir`.

use std::path::{Path, PathBuf};

use clap::Args;
use eyre::{Context, Result};
use tributary_spec::ChainSpec;

/// Where the node keeps its data.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Datadir")]
pub(crate) struct DatadirArgs {
    /// Folder of the database, keys and the worker's queue. Default: `$XDG_DATA_HOME/tributary/<chain id>`, `…/dev` for a dev chain.
    #[arg(long, value_name = "DIR")]
    pub(crate) datadir: Option<PathBuf>,
}

impl DatadirArgs {
    /// The folder for a chain: `dev`, or its id.
    pub(crate) fn resolve(&self, spec: &ChainSpec) -> PathBuf {
        let name = if spec.economy.dev { "dev".to_owned() } else { spec.chain_id().to_string() };
        self.datadir.clone().unwrap_or_else(|| data_home().join("tributary").join(name))
    }
}

/// Makes a folder of the data directory; it may be there.
pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).wrap_err_with(|| format!("--datadir: cannot make {}", folder.display()))
}

/// `$XDG_DATA_HOME`, or `~/.local/share`.
pub(crate) fn data_home() -> PathBuf {
    std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .unwrap_or_else(|| home().join(".local/share"))
}

fn home() -> PathBuf {
    std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// Where things are in a data folder.
#[derive(Clone, Debug)]
pub(crate) struct Layout(PathBuf);

impl Layout {
    pub(crate) fn new(datadir: impl AsRef<Path>) -> Self {
        Self(datadir.as_ref().to_owned())
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("db")
    }

    pub(crate) fn pool_journal(&self) -> PathBuf {
        self.0.join("txpool.rlp")
    }

    pub(crate) fn jwt_secret(&self) -> PathBuf {
        self.0.join("jwt.hex")
    }

    pub(crate) fn discovery_secret(&self) -> PathBuf {
        self.0.join("discovery-secret")
    }

    pub(crate) fn memstore(&self) -> PathBuf {
        self.0.join("memstore")
    }

    pub(crate) fn worker(&self) -> PathBuf {
        self.0.join("worker")
    }
}
