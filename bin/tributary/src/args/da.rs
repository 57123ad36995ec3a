//! `--da`.

use clap::Args;
use tributary_da::DaChoice;

/// Data availability.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Data availability")]
pub(crate) struct DaArgs {
    /// `memstore` (embedded, dev chains only) or the URL of an eigenda-proxy.
    #[arg(long, value_name = "memstore|URL", default_value = "memstore")]
    pub(crate) da: DaChoice,

    /// Port of the embedded memstore; 0: any free one.
    #[arg(long = "da.memstore-port", default_value_t = 3100)]
    pub(crate) memstore_port: u16,
}
