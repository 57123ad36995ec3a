//! Logs of a range of blocks, or of one.

use crate::{RpcContext, RpcError};
use alloy_consensus::BlockHeader;
use alloy_eips::{BlockId, BlockNumHash, BlockNumberOrTag};
use alloy_primitives::B256;
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};
use std::ops::RangeInclusive;
use tributary_spec::{Receipt, RecoveredBlock, SealedHeader, Tx};

impl RpcContext {
    /// Logs that a filter matches.
    pub(crate) fn logs(&self, filter: &Filter) -> Result<Vec<Log>, RpcError> {
        match filter.block_option {
            FilterBlockOption::AtBlockHash(hash) => {
                let id = BlockId::hash(hash);
                let block = self.block(id)?.ok_or(RpcError::BlockNotFound(id))?;
                self.logs_of(filter, &block)
            }
            FilterBlockOption::Range { from_block, to_block } => {
                if from_block == Some(BlockNumberOrTag::Pending)
                    && let Some(logs) = self.pending_logs(filter, to_block)?
                {
                    return Ok(logs);
                }
                let range = self.log_range(from_block, to_block)?;
                self.logs_in(filter, range)
            }
        }
    }

    /// Logs from the pending block on, which is no further than itself; `None` if there is none here.
    fn pending_logs(
        &self,
        filter: &Filter,
        to: Option<BlockNumberOrTag>,
    ) -> Result<Option<Vec<Log>>, RpcError> {
        let to = match to {
            None | Some(BlockNumberOrTag::Pending) => u64::MAX,
            Some(BlockNumberOrTag::Number(number)) => number,
            // What every other tag names comes before.
            Some(_) => return Ok(Some(Vec::new())),
        };
        let Some(pending) = self.pending_block() else { return Ok(None) };
        if to < pending.block.number() {
            return Ok(Some(Vec::new()));
        }
        let (block, receipts) = (&pending.block, &pending.receipts);
        Ok(Some(matching_logs(&anywhere(filter), block.header(), block.transactions(), receipts, false)))
    }

    /// Logs of canonical blocks.
    pub(crate) fn logs_in(&self, filter: &Filter, range: RangeInclusive<u64>) -> Result<Vec<Log>, RpcError> {
        let filter = anywhere(filter);
        let mut logs = Vec::new();
        for number in self.candidates(&filter, range.clone())? {
            let Some(header) = self.header(BlockId::number(number))? else { break };
            if !filter.matches_bloom(header.logs_bloom()) {
                continue;
            }
            let Some(block) = self.block(BlockId::hash(header.hash()))? else { break };
            logs.append(&mut self.logs_of(&filter, &block)?);
            let most = self.config.max_logs_per_response;
            if most > 0 && logs.len() > most && range.start() != range.end() {
                let last = if number > *range.start() { number - 1 } else { number };
                return Err(RpcError::InvalidParams(format!(
                    "query exceeds max results {most}, retry with the range {}-{last}",
                    range.start()
                )));
            }
        }
        Ok(logs)
    }

    /// Logs of one block.
    pub(crate) fn logs_of(&self, filter: &Filter, block: &RecoveredBlock) -> Result<Vec<Log>, RpcError> {
        if !filter.matches_bloom(block.header().logs_bloom()) {
            return Ok(Vec::new());
        }
        let receipts = self
            .receipts(block.hash())?
            .ok_or_else(|| RpcError::Internal(format!("receipts of block {} are missing", block.hash())))?;
        Ok(matching_logs(&anywhere(filter), block.header(), block.transactions(), &receipts, false))
    }

    /// The canonical blocks that a filter speaks of, of which there may not be too many. `pending` is the head here.
    fn log_range(
        &self,
        from: Option<BlockNumberOrTag>,
        to: Option<BlockNumberOrTag>,
    ) -> Result<RangeInclusive<u64>, RpcError> {
        let head = self.chain.head().number();
        let number = |tag: Option<BlockNumberOrTag>| match tag.unwrap_or_default() {
            BlockNumberOrTag::Number(number) => Ok::<_, RpcError>(number),
            BlockNumberOrTag::Pending => Ok(head),
            tag => Ok(self.header_or_error(BlockId::Number(tag))?.number()),
        };
        let (from, to) = (number(from)?, number(to)?);
        if from > to {
            return Err(RpcError::InvalidParams("invalid block range params".to_owned()));
        }
        if from > head {
            return Err(RpcError::InvalidParams("block range extends beyond current head block".to_owned()));
        }
        let to = to.min(head);
        let most = self.config.max_blocks_per_filter;
        if most > 0 && to - from > most {
            return Err(RpcError::InvalidParams(format!("query exceeds max block range {most}")));
        }
        Ok(from..=to)
    }
}

/// The same conditions on the logs, none on the block.
fn anywhere(filter: &Filter) -> Filter {
    Filter { block_option: FilterBlockOption::default(), ..filter.clone() }
}

/// Logs of one block's receipts, with their places.
pub(crate) fn matching_logs(
    filter: &Filter,
    header: &SealedHeader,
    transactions: &[Tx],
    receipts: &[Receipt],
    removed: bool,
) -> Vec<Log> {
    let hashes: Vec<B256> = transactions.iter().map(Tx::tx_hash).collect();
    filter.matching_block_logs(
        BlockNumHash::new(header.number(), header.hash()),
        header.timestamp(),
        hashes.into_iter().zip(receipts),
        removed,
    )
}
