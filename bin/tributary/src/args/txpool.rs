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

    /// Least fee cap, in wei.
    #[arg(long = "txpool.minimal-protocol-fee", default_value_t = 7)]
    pub(crate) minimal_protocol_fee: u128,

    /// Most bytes of pending transactions, in MB.
    #[arg(long = "txpool.pending-max-size", default_value_t = 20)]
    pub(crate) pending_max_size: usize,

    /// Most bytes of queued transactions, in MB.
    #[arg(long = "txpool.queued-max-size", default_value_t = 20)]
    pub(crate) queued_max_size: usize,

    /// Most bytes of one transaction.
    #[arg(long = "txpool.max-tx-input-bytes", default_value_t = 128 << 10)]
    pub(crate) max_tx_input_bytes: usize,

    /// Treat transactions that are sent to this node as any other: neither journalled nor kept longer.
    #[arg(long = "txpool.nolocals")]
    pub(crate) no_locals: bool,

    /// Keep no journal.
    #[arg(long = "txpool.disable-transactions-backup")]
    pub(crate) disable_transactions_backup: bool,
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
            minimal_protocol_fee: self.minimal_protocol_fee,
            pending_max_size: self.pending_max_size.saturating_mul(1 << 20),
            queued_max_size: self.queued_max_size.saturating_mul(1 << 20),
            max_tx_size: self.max_tx_input_bytes,
            no_locals: self.no_locals,
            journal: Some(journal).filter(|_| !self.disable_transactions_backup),
        }
    }
}
