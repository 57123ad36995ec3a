//! What a batch puts on chain.

use crate::abi::Words;
use crate::voucher::Voucher;
use alloy_primitives::{B256, U256};
use serde::{Deserialize, Serialize};

/// The committed header of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The agent that served.
    pub agent_id: u64,
    /// One more than the agent's last batch; the first is 1.
    pub seq: u64,
    /// Id of the agent's last batch, zero before the first.
    pub prev_batch: B256,
    /// Hash of the batch bytes.
    pub batch_hash: B256,
    /// Length of the batch bytes.
    pub n_bytes: u32,
    /// Records in the batch.
    pub n_records: u32,
    /// Root of the records tree.
    pub records_root: B256,
    /// Root of the agent's payout tree after the last record.
    pub payout_root: B256,
    /// Accounts in that tree.
    pub n_accounts: u32,
    /// The attribution algorithm.
    pub algo_id: B256,
}

impl Header {
    /// batchId: hash(abi.encode(chainId, header)).
    #[must_use]
    pub fn batch_id(&self, chain_id: u64) -> B256 {
        Words::new()
            .uint(chain_id)
            .uint(self.agent_id)
            .uint(self.seq)
            .word(self.prev_batch)
            .word(self.batch_hash)
            .uint(self.n_bytes)
            .uint(self.n_records)
            .word(self.records_root)
            .word(self.payout_root)
            .uint(self.n_accounts)
            .word(self.algo_id)
            .hash()
    }
}

/// What a batch draws from one channel, with the voucher that allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debit {
    /// The channel.
    pub channel: B256,
    /// The voucher's cap.
    pub cumulative: U256,
    /// The request the voucher was signed for.
    pub request_hash: B256,
    /// What this batch takes.
    #[serde(with = "crate::decimal")]
    pub amount: u128,
}

impl Debit {
    /// The voucher redeemed.
    #[must_use]
    pub const fn voucher(&self) -> Voucher {
        Voucher { channel: self.channel, cumulative: self.cumulative, request_hash: self.request_hash }
    }
}

/// Sums of a batch; `fees` is the sum of the other five.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// All fees.
    #[serde(with = "crate::decimal")]
    pub fees: u128,
    /// To the agent's owner.
    #[serde(with = "crate::decimal")]
    pub platform: u128,
    /// To model owners.
    #[serde(with = "crate::decimal")]
    pub model: u128,
    /// To the agent's pool.
    #[serde(with = "crate::decimal")]
    pub stakers: u128,
    /// To contributors.
    #[serde(with = "crate::decimal")]
    pub contributors: u128,
    /// Unattributed and rounded off.
    #[serde(with = "crate::decimal")]
    pub treasury: u128,
}

impl Totals {
    /// The sum field by field; `None` on overflow.
    #[must_use]
    pub fn checked_add(&self, more: &Self) -> Option<Self> {
        Some(Self {
            fees: self.fees.checked_add(more.fees)?,
            platform: self.platform.checked_add(more.platform)?,
            model: self.model.checked_add(more.model)?,
            stakers: self.stakers.checked_add(more.stakers)?,
            contributors: self.contributors.checked_add(more.contributors)?,
            treasury: self.treasury.checked_add(more.treasury)?,
        })
    }

    /// True when `fees` is the sum of the other five.
    #[must_use]
    pub fn balanced(&self) -> bool {
        let parts = [self.platform, self.model, self.stakers, self.contributors, self.treasury];
        parts.iter().try_fold(0u128, |sum, part| sum.checked_add(*part)) == Some(self.fees)
    }
}
