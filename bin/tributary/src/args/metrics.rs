//! `--metrics`.

use std::net::SocketAddr;

use clap::Args;

/// Prometheus metrics.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Metrics")]
pub(crate) struct MetricsArgs {
    /// Serve metrics of chain, pool, worker, DA and poster here (`127.0.0.1:9001`); port 0: any free one.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) metrics: Option<SocketAddr>,
}
