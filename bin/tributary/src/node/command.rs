//! `tributary node` and `tributary dev`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::Args;
use eyre::{Report, Result, ensure};
use tracing::{info, warn};
use tributary_rpc::{NoWorker, TributaryApi};

use super::{
    banner, chain::ChainParts, descriptors, metrics, servers::Servers, signals, worker::RunningWorker,
};
use crate::args::{
    AuthArgs, BuilderArgs, ChainArgs, DaArgs, DatadirArgs, DevArgs, Given, InferenceArgs, Layout,
    MetricsArgs, NetworkArgs, RollupArgs, RpcArgs, SettlementArgs, TxPoolArgs, make_folder,
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
    /// The flags that were given.
    #[arg(skip)]
    pub(crate) given: Given,
    /// Those of them whose ports `--with-unused-ports` changed.
    #[arg(skip)]
    pub(super) overridden: Vec<&'static str>,
}

/// A node with everything on, for a dev chain.
#[derive(Clone, Debug, Args)]
pub(crate) struct DevCommand {
    #[command(flatten)]
    node: NodeCommand,
}

impl DevCommand {
    pub(crate) fn was_given(&mut self, given: Given) {
        self.node.was_given(given);
    }

    pub(crate) async fn run(self) -> Result<()> {
        self.into_node().run().await
    }

    pub(crate) fn into_node(self) -> NodeCommand {
        let mut node = self.node;
        node.dev.dev = true;
        node.rpc.http = true;
        node.rpc.ws = true;
        node.inference.api = true;
        node.metrics.metrics = node.metrics.metrics.or(Some(SocketAddr::from(DEV_METRICS)));
        node
    }
}

impl NodeCommand {
    pub(crate) fn was_given(&mut self, given: Given) {
        self.given = given;
    }

    pub(crate) async fn run(self) -> Result<()> {
        self.with_ports_of_its_own().start().await
    }

    async fn start(mut self) -> Result<()> {
        self.refuse_contradictions()?;
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
        self.yield_port_of_metrics();
        self.refuse_taken_ports()?;
        let counted = metrics::install()?;
        if let Some(address) = &mut self.metrics.metrics {
            *address = metrics::serve(counted.clone(), *address).await?;
        }
        let datadir = self.datadir.resolve(&spec);
        make_folder(&datadir)?;
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
        tokio::select! {
            () = drain(worker, servers) => {}
            _ = signals::stop_requested() => warn!(target: "tributary", "Told to stop again: nobody is waited for"),
        }
        outcome.and(chain.close())
    }
}

/// Lets what is under way be answered, for a while.
async fn drain(worker: Option<RunningWorker>, servers: Servers) {
    let worker = async {
        if let Some(worker) = worker {
            worker.stop(DRAIN).await;
        }
    };
    let servers = async {
        if tokio::time::timeout(DRAIN, servers.stop()).await.is_err() {
            warn!(target: "tributary", "Requests are still under way: they are cut off");
        }
    };
    tokio::join!(worker, servers);
}
