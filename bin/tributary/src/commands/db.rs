//! `tributary db`: what is in the database, and whether it holds together.

use clap::Subcommand;
use eyre::{Context, OptionExt, Result, ensure};
use serde_json::json;
use tributary_store::Identity;
use tributary_tree::{BlockNumHash, Store, StoreOptions, verify};

use crate::{
    args::{ChainArgs, DatadirArgs, Layout},
    output::{pairs, print, table},
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

impl DbCommand {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Stats(args) => args.stats(),
            Self::Verify(args) => args.verify(),
        }
    }
}

impl DbArgs {
    /// Opens what is there; a node that runs holds it.
    fn open(&self) -> Result<Store> {
        let spec = self.chain.load()?;
        let path = Layout::new(self.datadir.resolve(&spec)).database();
        let found = std::fs::metadata(&path)
            .wrap_err_with(|| format!("--datadir: there is no database at {}", path.display()))?;
        ensure!(found.is_dir(), "--datadir: {} is no database: it is a file", path.display());
        let identity = Identity { chain_id: spec.chain_id(), genesis_hash: spec.genesis_hash() };
        Store::open(&path, &identity, &StoreOptions::default())
            .wrap_err_with(|| format!("--datadir: cannot open {}", path.display()))
    }

    fn stats(&self) -> Result<()> {
        let stats = self.open()?.stats()?;
        let block = |block: Option<BlockNumHash>| block.map(|block| block.number);
        let tables: Vec<_> = stats
            .tables
            .iter()
            .map(|table| {
                json!({
                    "table": format!("{:?}", table.table), "rows": table.rows, "fileBytes": table.file_bytes,
                    "memoryBytes": table.memory_bytes,
                })
            })
            .collect();
        let shown = json!({
            "head": block(stats.head), "safe": block(stats.safe), "finalized": block(stats.finalized),
            "oldestDiff": stats.oldest_diff, "tables": tables,
        });
        print(self.json, &shown, |_| {
            let mut rows = table(&["table", "rows (estimate)", "bytes on disk", "bytes in the log"]);
            for table in &stats.tables {
                rows.add_row([
                    format!("{:?}", table.table),
                    table.rows.to_string(),
                    table.file_bytes.to_string(),
                    table.memory_bytes.to_string(),
                ]);
            }
            rows
        })
    }

    fn verify(&self) -> Result<()> {
        let store = self.open()?;
        let bar = indicatif::ProgressBar::new_spinner();
        if self.json {
            bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        let report = verify(&store, |what, done, _| {
            bar.set_message(format!("{what} {done}"));
            bar.tick();
        })?;
        bar.finish_and_clear();
        let head = store.snapshot().head()?.ok_or_eyre("there is no head")?;
        let shown = json!({
            "head": head.number, "hash": head.hash, "stateRoot": report.state.root,
            "accounts": report.state.accounts, "slots": report.state.slots, "nodes": report.state.nodes,
            "blocks": report.index.blocks, "transactions": report.index.transactions,
        });
        print(self.json, &shown, |_| {
            pairs([
                ("head", format!("{} {}", head.number, head.hash)),
                ("state root", format!("{} (recomputed)", report.state.root)),
                ("accounts", report.state.accounts.to_string()),
                ("slots", report.state.slots.to_string()),
                ("blocks", report.index.blocks.to_string()),
                ("transactions", report.index.transactions.to_string()),
            ])
        })
    }
}
