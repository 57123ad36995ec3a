//! What the pool may hold.

use std::path::PathBuf;

/// Limits of the pool. The command line names them as reth does (`--txpool.*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// `--txpool.pending-max-count`: executable transactions.
    pub pending_max_count: usize,
    /// `--txpool.pending-max-size`: bytes of executable transactions.
    pub pending_max_size: usize,
    /// `--txpool.queued-max-count`: transactions that wait for a nonce, for funds or for a lower base fee.
    pub queued_max_count: usize,
    /// `--txpool.queued-max-size`: bytes of queued transactions.
    pub queued_max_size: usize,
    /// `--txpool.max-account-slots`: transactions of one sender.
    pub max_account_slots: usize,
    /// `--txpool.pricebump`: percent by which a replacement has to raise both fees.
    pub price_bump: u128,
    /// `--txpool.minimal-protocol-fee`: a fee cap below this many wei is never accepted.
    pub minimal_protocol_fee: u128,
    /// `--txpool.minimum-priority-fee`: a tip below this many wei is not accepted.
    pub minimum_priority_fee: u128,
    /// `--txpool.max-tx-input-bytes`: the encoded size of one transaction.
    pub max_tx_size: usize,
    /// `--txpool.nolocals`: transactions that are sent to this node are treated as any other.
    pub no_locals: bool,
    /// Where local transactions are kept over a restart; `None` keeps none (`--txpool.disable-transactions-backup`).
    pub journal: Option<PathBuf>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            pending_max_count: 10_000,
            pending_max_size: 20 << 20,
            queued_max_count: 10_000,
            queued_max_size: 20 << 20,
            max_account_slots: 16,
            price_bump: 10,
            minimal_protocol_fee: 7,
            minimum_priority_fee: 0,
            max_tx_size: 128 << 10,
            no_locals: false,
            journal: None,
        }
    }
}
