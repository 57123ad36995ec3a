//! `tributary node` and `tributary dev`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::Args;
use eyre::{Context, Report, Result, ensure};
use tracing::info;
use tributary_rpc::{NoWorker, TributaryApi};

use super::{
    banner, chain::ChainParts, descriptors, metrics, servers::Servers, signals, worker::RunningWorker,
};
use crate::args::{
    AuthArgs, BuilderArgs, ChainArgs, DaArgs, DatadirArgs, DevArgs, InferenceArgs, Layout, MetricsArgs,
    NetworkArgs, RollupArgs, RpcArgs, SettlementArgs, TxPoolArgs,
};

/// How long replies under way may take when the node stops.
const DRAIN: Duration = Duration::from_secs(20);
/// Where a dev node serves metrics.
const DEV_METRICS: ([u8; 4], u16) = ([127, 0, 0, 1], 9001);

/// A node.
#[derive(Clone, Debug, Args)]
pub(crate) struct NodeCommand {
    #[command(flatten)]
    pub(super) chain: ChainArgs,
    #[command(flatten)]
    pub(super) datadir: DatadirArgs,
    #[command(flatten)]
    pub(super) dev: DevArgs,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
    #[command(flatten)]
    pub(super) rpc: RpcArgs,
    #[command(flatten)]
    pub(super) auth: AuthArgs,
    #[command(flatten)]
    pub(super) builder: BuilderArgs,
    #[command(flatten)]
    pub(super) rollup: RollupArgs,
    #[command(flatten)]
    pub(super) pool: TxPoolArgs,
    #[command(flatten)]
    pub(super) inference: InferenceArgs,
    #[command(flatten)]
    pub(super) settlement: SettlementArgs,
    #[command(flatten)]
    pub(super) da: DaArgs,
    #[command(flatten)]
    pub(super) metrics: MetricsArgs,
}

/// A node with everything on, for a dev chain.
#[derive(Clone, Debug, Args)]
pub(crate) struct DevCommand {
    #[command(flatten)]
    node: NodeCommand,
}

impl DevCommand {
    pub(crate) async fn run(self) -> Result<()> {
        let mut node = self.node;
        node.dev.dev = true;
        node.rpc.http = true;
        node.rpc.ws = true;
        node.inference.api = true;
        node.metrics.metrics = node.metrics.metrics.or(Some(SocketAddr::from(DEV_METRICS)));
        node.run().await
    }
}

impl NodeCommand {
    pub(crate) async fn run(self) -> Result<()> {
        self.with_ports_of_its_own().start().await
    }

    async fn start(self) -> Result<()> {
        let spec = self.chain.load()?;
        ensure!(
            !self.dev.dev || spec.economy.dev,
            "chain {} is not a development chain: its blocks come from op-node, not from --dev",
            spec.chain_id()
        );
        if self.inference.api {
            ensure!(
                spec.economy.economy_time.is_some(),
                "--api: chain {} has no economy to settle answers on (no `economyTime` in its config)",
                spec.chain_id()
            );
            self.da.da.check(spec.economy.dev)?;
            self.inference.check_tier()?;
            self.inference.check_gpus()?;
        }
        let counted = metrics::install()?;
        if let Some(address) = self.metrics.metrics {
            metrics::serve(counted.clone(), address).await?;
        }
        let datadir = self.datadir.resolve(&spec);
        std::fs::create_dir_all(&datadir).wrap_err_with(|| format!("--datadir {}", datadir.display()))?;
        let layout = Layout::new(&datadir);
        info!(target: "tributary", chain = spec.chain_id(), genesis = %spec.genesis_hash(), datadir = %datadir.display(), "Starting");
        info!(target: "tributary", "{}", spec.forks());
        self.log_flags_without_effect();
        descriptors::raise_limit();

        let chain = ChainParts::open(&self, &spec, &layout)?;
        let worker = if self.inference.api {
            Some(RunningWorker::start(&self, &chain, &layout, counted).await?)
        } else {
            None
        };
        let api: Arc<dyn TributaryApi> = match &worker {
            Some(worker) => worker.rpc(),
            None => Arc::new(NoWorker),
        };
        let servers = Servers::start(&self, &chain, api, &layout).await?;
        if self.dev.dev {
            banner::print(&self, servers.rpc(), worker.as_ref());
        }

        let outcome = tokio::select! {
            requested = signals::stop_requested() => requested,
            failure = chain.chain.ended() => Err(Report::new(failure).wrap_err("the chain can no longer be written")),
        };
        info!(target: "tributary", "Stopping");
        chain.stop_sequencing();
        if let Some(worker) = worker {
            worker.stop(DRAIN).await;
        }
        servers.stop().await;
        outcome.and(chain.close())
    }
}
