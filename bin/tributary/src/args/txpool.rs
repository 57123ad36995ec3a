//! `--txpool.*`.

use clap::Args;

/// The transaction pool.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "TxPool")]
pub(crate) struct TxPoolArgs {
    /// Most pending transactions.
    #[arg(long = "txpool.pending-max-count", default_value_t = 10_000)]
    pub(crate) pending_max_count: usize,

    /// Most queued transactions.
    #[arg(long = "txpool.queued-max-count", default_value_t = 10_000)]
    pub(crate) queued_max_count: usize,

    /// Most transactions of one sender.
    #[arg(long = "txpool.max-account-slots", default_value_t = 16)]
    pub(crate) max_account_slots: usize,

    /// Percentage by which a replacement must raise both fees.
    #[arg(long = "txpool.pricebump", default_value_t = 10)]
    pub(crate) price_bump: u64,

    /// Least tip, in wei.
    #[arg(long = "txpool.minimum-priority-fee", default_value_t = 0)]
    pub(crate) minimum_priority_fee: u128,

    /// Do not treat transactions from this node's RPC as local.
    #[arg(long = "txpool.nolocals")]
    pub(crate) no_locals: bool,
}
