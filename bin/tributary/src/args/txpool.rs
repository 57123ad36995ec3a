//! `--txpool.*`.

use std::path::PathBuf;

use clap::Args;
use tributary_pool::PoolConfig;

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
    pub(crate) price_bump: u128,

    /// Least tip, in wei.
    #[arg(long = "txpool.minimum-priority-fee", default_value_t = 0)]
    pub(crate) minimum_priority_fee: u128,
}

impl TxPoolArgs {
    /// What the pool is told; local transactions are kept in `journal`.
    pub(crate) fn config(&self, journal: PathBuf) -> PoolConfig {
        PoolConfig {
            pending_max_count: self.pending_max_count,
            queued_max_count: self.queued_max_count,
            max_account_slots: self.max_account_slots,
            price_bump: self.price_bump,
            minimum_priority_fee: self.minimum_priority_fee,
            journal: Some(journal),
            ..PoolConfig::default()
        }
    }
}
