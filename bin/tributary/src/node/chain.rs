//! Chain, pool and sequencer of a node.

use std::sync::Arc;

use eyre::{Context, Result};
use tokio_util::sync::CancellationToken;
use tributary_builder::{BlockTime, DevConfig, DevSequencer, PayloadBuilder};
use tributary_evm::Executor;
use tributary_pool::Pool;
use tributary_spec::ChainSpec;
use tributary_tree::{Chain, ChainConfig, Durability};
use tributary_worker::NodeChain;

use super::NodeCommand;
use crate::args::{Layout, make_folder};

/// Blocks that are executed again after a kill, at most.
const MAX_UNWRITTEN: u64 = 16;

/// The chain's half of a node.
pub(super) struct ChainParts {
    pub(super) spec: Arc<ChainSpec>,
    pub(super) executor: Executor,
    pub(super) chain: Chain,
    pub(super) pool: Pool,
    pub(super) builder: PayloadBuilder,
    /// The same as the worker sees it.
    pub(super) port: Arc<NodeChain>,
    sequencing: CancellationToken,
}

impl ChainParts {
    /// Opens the database and starts what follows the head.
    pub(super) fn open(node: &NodeCommand, spec: &Arc<ChainSpec>, layout: &Layout) -> Result<Self> {
        let executor = Executor::new(Arc::clone(spec));
        // What is acknowledged must survive a kill and a power cut.
        let config = ChainConfig {
            durability: Durability::Acknowledged,
            sync: true,
            max_unwritten: MAX_UNWRITTEN,
            ..ChainConfig::default()
        };
        let path = layout.database();
        make_folder(&path)?;
        let chain = Chain::open(executor.clone(), &path, config)
            .wrap_err_with(|| format!("--datadir: cannot open {}", path.display()))?;
        let pool = Pool::open(executor.clone(), chain.clone(), node.pool.config(layout.pool_journal()))?;
        tokio::spawn(pool.clone().maintain());
        let port = Arc::new(NodeChain::new(chain.clone(), executor.clone(), pool.clone()));
        let followed = Arc::clone(&port);
        tokio::spawn(async move { followed.follow().await });
        let sequencing = CancellationToken::new();
        let builder = PayloadBuilder::new(
            executor.clone(),
            chain.clone(),
            pool.clone(),
            node.builder.config(&node.rollup),
        );
        if node.dev.dev {
            let config = DevConfig {
                block_time: BlockTime::from_duration(node.dev.block_time),
                gas_limit: node.builder.gas_limit,
                ..DevConfig::default()
            };
            tokio::spawn(DevSequencer::new(builder.clone(), config)?.run(sequencing.clone()));
        }
        Ok(Self { spec: Arc::clone(spec), executor, chain, pool, builder, port, sequencing })
    }

    /// No block is begun after this.
    pub(super) fn stop_sequencing(&self) {
        self.sequencing.cancel();
    }

    /// Writes what is in memory.
    pub(super) fn close(self) -> Result<()> {
        Ok(self.chain.shutdown()?)
    }
}
