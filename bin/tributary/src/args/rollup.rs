//! `--builder.*` and `--rollup.*`, under op-reth's names and op-geth's.

use std::time::Duration;

use clap::Args;
use tributary_builder::PayloadConfig;
use url::Url;

use super::duration::parse_duration;

/// Payload building.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Builder")]
pub(crate) struct BuilderArgs {
    /// Gas limit of the blocks of a dev chain. A rollup node says its own.
    #[arg(long = "builder.gaslimit", value_name = "GAS")]
    pub(crate) gas_limit: Option<u64>,

    /// Pause between two fills of a payload from the pool (`100ms`).
    #[arg(long = "builder.interval", value_name = "DURATION", default_value = "250ms", value_parser = parse_duration)]
    pub(crate) interval: Duration,

    /// A payload is no longer improved after this time (seconds).
    #[arg(long = "builder.deadline", value_name = "SECONDS", default_value = "12", value_parser = parse_duration)]
    pub(crate) deadline: Duration,

    /// Extra data of blocks. On an OP chain it is not the builder's to choose.
    #[arg(long = "builder.extradata", value_name = "BYTES")]
    pub(crate) extra_data: Option<String>,

    /// Most payloads in the making.
    #[arg(long = "builder.max-tasks", value_name = "COUNT", default_value_t = 16)]
    pub(crate) max_tasks: u32,
}

impl BuilderArgs {
    /// What the builder is told.
    pub(crate) fn config(&self, rollup: &RollupArgs) -> PayloadConfig {
        PayloadConfig {
            interval: self.interval,
            deadline: self.deadline,
            max_jobs: self.max_tasks,
            max_bytes: rollup.max_uncompressed_block_size,
            ..PayloadConfig::default()
        }
    }
}

/// The rollup.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Rollup")]
pub(crate) struct RollupArgs {
    /// Endpoint of the sequencer, to which transactions are sent on.
    #[arg(long = "rollup.sequencer", aliases = ["rollup.sequencer-http", "rollup.sequencerhttp"], value_name = "URL")]
    pub(crate) sequencer: Option<Url>,

    /// Headers of requests to the sequencer (`name=value`).
    #[arg(long = "rollup.sequencer-headers", value_name = "HEADERS", value_delimiter = ',')]
    pub(crate) sequencer_headers: Vec<String>,

    /// Keep transactions that were sent on in the pool here, too.
    #[arg(long = "rollup.retain-forwarded-txs")]
    pub(crate) retain_forwarded_txs: bool,

    /// Serve eth_sendRawTransactionConditional.
    #[arg(long = "rollup.enable-tx-conditional", alias = "rollup.sequencertxconditionalenabled")]
    pub(crate) enable_tx_conditional: bool,

    /// Least tip that is suggested, in wei.
    #[arg(
        long = "rollup.min-suggested-priority-fee",
        alias = "gpo.minsuggestedpriorityfee",
        value_name = "WEI",
        default_value_t = 1_000_000
    )]
    pub(crate) min_suggested_priority_fee: u128,

    /// Do not tell peers of transactions. This node never does.
    #[arg(long = "rollup.disable-tx-pool-gossip", aliases = ["rollup.disabletxpoolgossip", "rollup.disable-txpool-gossip"])]
    pub(crate) disable_tx_pool_gossip: bool,

    /// Answer for `pending` with a block made from the pool.
    #[arg(long = "rollup.compute-pending-block", alias = "rollup.computependingblock")]
    pub(crate) compute_pending_block: bool,

    /// Look for peers by discv4.
    #[arg(long = "rollup.discovery.v4")]
    pub(crate) discovery_v4: bool,

    /// Largest encoded block that is built, in bytes. Default, and most that is taken: 10 MiB, which gossip carries.
    #[arg(long = "rollup.max-uncompressed-block-size", value_name = "BYTES")]
    pub(crate) max_uncompressed_block_size: Option<u64>,

    /// Endpoint for what lies before Bedrock; no chain of this node has that.
    #[arg(long = "rollup.historicalrpc", value_name = "URL")]
    pub(crate) historical_rpc: Option<String>,

    /// Endpoint of an interop supervisor.
    #[arg(long = "rollup.interop-http", aliases = ["rollup.supervisor-http", "rollup.interoprpc"], value_name = "URL")]
    pub(crate) interop_http: Option<String>,
}
