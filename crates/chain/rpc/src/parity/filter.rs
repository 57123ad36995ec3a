//! `trace_filter`: calls from and to some addresses.

use crate::{RpcContext, RpcError};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::Address;
use alloy_rpc_types_trace::{
    filter::{TraceFilter, TraceFilterMode},
    parity::LocalizedTransactionTrace,
};
use serde::{Deserialize, Serialize};

/// Which calls are wanted. Blocks may be named by tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct TraceFilterRequest {
    /// The first block; genesis if it is not named.
    pub from_block: Option<BlockNumberOrTag>,
    /// The last block; the head if it is not named.
    pub to_block: Option<BlockNumberOrTag>,
    /// Callers; none named is all.
    pub from_address: Vec<Address>,
    /// Callees; none named is all.
    pub to_address: Vec<Address>,
    /// Whether caller and callee must be among the named, or one of them.
    pub mode: TraceFilterMode,
    /// So many are left out first.
    pub after: Option<u64>,
    /// No more than so many.
    pub count: Option<u64>,
}

impl RpcContext {
    /// Calls that a filter matches, in order.
    pub(super) fn parity_filter(
        &self,
        request: &TraceFilterRequest,
    ) -> Result<Vec<LocalizedTransactionTrace>, RpcError> {
        let from = self.number_of(request.from_block.unwrap_or(BlockNumberOrTag::Earliest))?;
        let to = self.number_of(request.to_block.unwrap_or_default())?.min(self.chain.head().number);
        if from > to {
            return Err(RpcError::InvalidParams(
                "invalid parameters: fromBlock cannot be greater than toBlock".to_owned(),
            ));
        }
        let (blocks, most) = ((to - from).saturating_add(1), self.config.max_trace_filter_blocks);
        if most > 0 && blocks > most {
            return Err(RpcError::InvalidParams(format!(
                "Block range too large; currently limited to {most} blocks"
            )));
        }
        let matcher = TraceFilter {
            from_address: request.from_address.clone(),
            to_address: request.to_address.clone(),
            mode: request.mode,
            ..TraceFilter::default()
        }
        .matcher();
        let mut skip = request.after.unwrap_or_default();
        let count = usize::try_from(request.count.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let mut budget = self.parity_budget()?;
        let mut found = Vec::new();
        for number in from..=to {
            if found.len() >= count {
                break;
            }
            let id = BlockId::number(number);
            let block = self.block(id)?.ok_or(RpcError::BlockNotFound(id))?;
            self.localized(&block, &mut budget, |trace| {
                if !matcher.matches(&trace.trace) {
                    return true;
                }
                if skip > 0 {
                    skip -= 1;
                    return true;
                }
                if found.len() < count {
                    found.push(trace);
                }
                found.len() < count
            })?;
        }
        Ok(found)
    }

    fn number_of(&self, block: BlockNumberOrTag) -> Result<u64, RpcError> {
        match block {
            BlockNumberOrTag::Number(number) => Ok(number),
            tag => Ok(self.header_or_error(BlockId::Number(tag))?.number),
        }
    }
}
