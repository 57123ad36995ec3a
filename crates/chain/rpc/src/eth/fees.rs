//! What gas costs, cost, and will probably cost.

use crate::{RpcContext, RpcError};
use alloy_consensus::{BlockHeader, Transaction, TxReceipt};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::B256;
use alloy_rpc_types_eth::FeeHistory;
use parking_lot::Mutex;
use schnellru::{ByLength, LruMap};
use std::sync::Arc;
use tributary_spec::{Receipt, RecoveredBlock, SealedHeader};

/// Blocks whose fees are remembered.
const CACHED_BLOCKS: u32 = 2048;

/// Percentiles of one `eth_feeHistory`.
const MAX_PERCENTILES: usize = 100;

/// Fees of recent blocks.
#[derive(Debug)]
pub(crate) struct FeeCache(Mutex<LruMap<B256, Arc<BlockFees>>>);

impl Default for FeeCache {
    fn default() -> Self {
        Self(Mutex::new(LruMap::new(ByLength::new(CACHED_BLOCKS))))
    }
}

/// What the transactions of one block paid.
#[derive(Debug)]
pub(crate) struct BlockFees {
    gas_used: u64,
    gas_limit: u64,
    data_gas_used: u64,
    base_fee: u64,
    /// Tip per gas and gas used of each transaction that pays, cheapest first.
    tips: Vec<(u128, u64)>,
}

impl BlockFees {
    fn new(block: &RecoveredBlock, receipts: &[Receipt]) -> Self {
        let header = block.header();
        let base_fee = header.base_fee_per_gas().unwrap_or_default();
        let mut before = 0;
        let mut tips = Vec::with_capacity(receipts.len());
        for (tx, receipt) in block.transactions().iter().zip(receipts) {
            let gas = receipt.cumulative_gas_used().saturating_sub(before);
            before = receipt.cumulative_gas_used();
            if !tx.is_deposit() {
                tips.push((tx.effective_tip_per_gas(base_fee).unwrap_or_default(), gas));
            }
        }
        tips.sort_unstable();
        Self {
            gas_used: header.gas_used(),
            gas_limit: header.gas_limit(),
            data_gas_used: header.blob_gas_used().unwrap_or_default(),
            base_fee,
            tips,
        }
    }

    /// The tip that so many percent of the paid gas paid at most.
    fn percentiles(&self, percentiles: &[f64]) -> Vec<u128> {
        let total: u64 = self.tips.iter().map(|(_, gas)| gas).sum();
        let mut tips = self.tips.iter();
        let (mut seen, mut tip) = (0u64, 0u128);
        percentiles
            .iter()
            .map(|percentile| {
                let threshold = (total as f64 * percentile / 100.0) as u64;
                while seen < threshold || seen == 0 {
                    let Some((next, gas)) = tips.next() else { break };
                    (tip, seen) = (*next, seen + gas);
                }
                tip
            })
            .collect()
    }

    fn median_tip(&self) -> u128 {
        self.tips.get(self.tips.len() / 2).map_or(0, |(tip, _)| *tip)
    }
}

impl RpcContext {
    /// A price that the next blocks take: their base fee and a tip.
    pub(crate) fn suggested_gas_price(&self) -> Result<u128, RpcError> {
        Ok(u128::from(self.pool.base_fee()).saturating_add(self.suggested_tip()?))
    }

    /// As op-geth does: the minimum, unless the last block had no room for one more transaction like its largest; then
    /// ten percent more than its median.
    pub(crate) fn suggested_tip(&self) -> Result<u128, RpcError> {
        let (least, most) = (self.config.min_suggested_priority_fee, self.config.max_suggested_priority_fee);
        let Some(fees) = self.fees_of(&self.chain.head())? else { return Ok(least) };
        let largest = fees.tips.iter().map(|(_, gas)| *gas).max().unwrap_or_default();
        let full = fees.gas_used.saturating_add(largest) > fees.gas_limit;
        let tip = if full { fees.median_tip().saturating_mul(11) / 10 } else { least };
        Ok(tip.clamp(least, most.max(least)))
    }

    /// Base fees, fullness and tips of `count` blocks up to `newest`, and the base fee after them. As in reth, `pending` is the
    /// head: a block that nobody sequenced is no history.
    pub(crate) fn fee_history(
        &self,
        count: u64,
        newest: BlockNumberOrTag,
        percentiles: Option<Vec<f64>>,
    ) -> Result<FeeHistory, RpcError> {
        if let Some(percentiles) = &percentiles {
            check_percentiles(percentiles)?;
        }
        if count == 0 {
            return Ok(FeeHistory::default());
        }
        let newest = match newest {
            BlockNumberOrTag::Pending => self.chain.head(),
            newest => self.header_or_error(BlockId::Number(newest))?,
        };
        let count = count.min(self.config.max_fee_history).min(newest.number() + 1);
        let oldest_block = newest.number() + 1 - count;
        let mut history = FeeHistory {
            oldest_block,
            reward: percentiles.as_ref().map(|_| Vec::new()),
            ..FeeHistory::default()
        };
        for number in oldest_block..=newest.number() {
            let header = self.header_or_error(BlockId::number(number))?;
            let fees = self.fees_of(&header)?.ok_or(RpcError::BlockNotFound(BlockId::number(number)))?;
            history.push(&fees, percentiles.as_deref());
        }
        let next = self
            .spec
            .next_base_fee(&newest, newest.timestamp().saturating_add(1))
            .map_err(RpcError::internal)?;
        history.base_fee_per_gas.push(u128::from(next));
        history.base_fee_per_blob_gas.push(1);
        Ok(history)
    }

    fn fees_of(&self, header: &SealedHeader) -> Result<Option<Arc<BlockFees>>, RpcError> {
        let hash = header.hash();
        if let Some(fees) = self.fees.0.lock().get(&hash) {
            return Ok(Some(fees.clone()));
        }
        let (Some(block), Some(receipts)) = (self.block(BlockId::hash(hash))?, self.receipts(hash)?) else {
            return Ok(None);
        };
        let fees = Arc::new(BlockFees::new(&block, &receipts));
        self.fees.0.lock().insert(hash, fees.clone());
        Ok(Some(fees))
    }
}

/// Adds one block.
trait Push {
    fn push(&mut self, fees: &BlockFees, percentiles: Option<&[f64]>);
}

impl Push for FeeHistory {
    fn push(&mut self, fees: &BlockFees, percentiles: Option<&[f64]>) {
        let ratio = |used: u64| if fees.gas_limit == 0 { 0.0 } else { used as f64 / fees.gas_limit as f64 };
        self.base_fee_per_gas.push(u128::from(fees.base_fee));
        self.gas_used_ratio.push(ratio(fees.gas_used));
        self.base_fee_per_blob_gas.push(1);
        self.blob_gas_used_ratio.push(ratio(fees.data_gas_used));
        if let (Some(reward), Some(percentiles)) = (&mut self.reward, percentiles) {
            reward.push(fees.percentiles(percentiles));
        }
    }
}

fn check_percentiles(percentiles: &[f64]) -> Result<(), RpcError> {
    let ordered = percentiles.windows(2).all(|pair| pair[0] <= pair[1]);
    let in_range = percentiles.iter().all(|percentile| (0.0..=100.0).contains(percentile));
    if percentiles.len() > MAX_PERCENTILES || !ordered || !in_range {
        return Err(RpcError::InvalidParams("invalid reward percentiles".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fees(tips: &[(u128, u64)]) -> BlockFees {
        BlockFees { gas_used: 0, gas_limit: 100, data_gas_used: 0, base_fee: 1, tips: tips.to_vec() }
    }

    #[test]
    fn percentiles_weigh_tips_by_gas() {
        let block = fees(&[(1, 10), (2, 80), (9, 10)]);
        assert_eq!(block.percentiles(&[0.0, 10.0, 11.0, 50.0, 90.0, 91.0, 100.0]), [1, 1, 2, 2, 2, 9, 9]);
        assert_eq!(fees(&[]).percentiles(&[0.0, 50.0]), [0, 0]);
    }

    #[test]
    fn percentiles_are_ordered_and_within_a_hundred() {
        assert!(check_percentiles(&[0.0, 50.0, 50.0, 100.0]).is_ok());
        for bad in [&[50.0, 10.0][..], &[-1.0], &[100.1], &[f64::NAN]] {
            assert!(check_percentiles(bad).is_err(), "{bad:?}");
        }
    }
}
