//! Transactions that are in no block.

use super::replay::results;
use crate::{RpcContext, RpcError, eth::CallRequest};
use alloy_eips::BlockId;
use alloy_primitives::map::HashSet;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_trace::parity::{TraceResults, TraceType};
use tributary_evm::{FeeMode, tx_env};

/// Most calls of one `trace_callMany`.
const MAX_CALLS: usize = 1024;

impl RpcContext {
    /// Runs a call.
    pub(super) fn parity_call(
        &self,
        call: CallRequest,
        types: &HashSet<TraceType>,
    ) -> Result<TraceResults, RpcError> {
        let mut budget = self.parity_budget()?;
        let (mut sandbox, tx) = self.prepare(call, BlockId::latest())?;
        Ok(results(&mut sandbox, tx, types, &mut budget)?.0)
    }

    /// Runs calls one on the other.
    pub(super) fn parity_call_many(
        &self,
        calls: Vec<(TransactionRequest, HashSet<TraceType>)>,
        block: Option<BlockId>,
    ) -> Result<Vec<TraceResults>, RpcError> {
        if calls.len() > MAX_CALLS {
            let message = format!("too many calls: {}, at most {MAX_CALLS}", calls.len());
            return Err(RpcError::LimitExceeded(message));
        }
        let mut budget = self.parity_budget()?;
        let (_, mut sandbox) = self.sandbox(block.unwrap_or_default())?;
        let mut answer = Vec::with_capacity(calls.len());
        for (request, types) in calls {
            let tx = self.call_tx(request, sandbox.env())?;
            let (trace, outcome) = results(&mut sandbox, tx, &types, &mut budget)?;
            sandbox.commit(outcome);
            answer.push(trace);
        }
        Ok(answer)
    }

    /// Runs a signed transaction as a block would.
    pub(super) fn parity_raw(
        &self,
        bytes: &[u8],
        types: &HashSet<TraceType>,
        block: Option<BlockId>,
    ) -> Result<TraceResults, RpcError> {
        let mut budget = self.parity_budget()?;
        let tx = self.check_sent(bytes)?;
        let (_, mut sandbox) = self.sandbox(block.unwrap_or_default())?;
        sandbox.set_fee_mode(FeeMode::Charged);
        let tx = tx_env(tx.transaction().as_recovered_ref());
        Ok(results(&mut sandbox, tx, types, &mut budget)?.0)
    }
}
