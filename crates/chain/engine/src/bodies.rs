//! `engine_getPayloadBodies*`.

use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::B256;
use alloy_rpc_types_engine::ExecutionPayloadBodyV1;
use tributary_spec::RecoveredBlock;

use crate::{Engine, EngineError};

/// Bodies answered at once.
const MAX_BODIES: u64 = 1_024;

impl Engine {
    /// Bodies of known blocks, null for others.
    pub fn bodies_by_hash(
        &self,
        hashes: &[B256],
    ) -> Result<Vec<Option<ExecutionPayloadBodyV1>>, EngineError> {
        check_count(hashes.len() as u64)?;
        let body = |hash: &B256| Ok(self.chain().block_by_hash(*hash)?.map(|block| body(&block)));
        hashes.iter().map(body).collect()
    }

    /// Bodies of canonical blocks from `start` on; the list ends at the head.
    pub fn bodies_by_range(
        &self,
        start: u64,
        count: u64,
    ) -> Result<Vec<Option<ExecutionPayloadBodyV1>>, EngineError> {
        if start == 0 || count == 0 {
            return Err(EngineError::Params(format!("start {start} and count {count} must be positive")));
        }
        check_count(count)?;
        let last = start.saturating_add(count - 1).min(self.chain().head().number);
        let body = |number| Ok(self.chain().block_by_number(number)?.map(|block| body(&block)));
        (start..=last).map(body).collect()
    }
}

fn check_count(asked: u64) -> Result<(), EngineError> {
    if asked > MAX_BODIES { Err(EngineError::TooLarge { asked, limit: MAX_BODIES }) } else { Ok(()) }
}

fn body(block: &RecoveredBlock) -> ExecutionPayloadBodyV1 {
    let withdrawals: Option<Withdrawals> = block.body().withdrawals.clone();
    ExecutionPayloadBodyV1::new(withdrawals, block.transactions())
}
