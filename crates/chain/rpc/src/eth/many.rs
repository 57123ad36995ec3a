//! `eth_callMany`: bundles of calls, each on what the ones before it did.

use crate::{RpcContext, RpcError, eth::request::output_of};
use alloy_eips::BlockId;
use alloy_rpc_types_eth::{Bundle, EthCallResponse, StateContext, TransactionIndex, state::StateOverride};
use tributary_evm::{FeeMode, Sandbox};

/// Most calls of one request.
const MAX_CALLS: usize = 1024;

/// What is to run, and where.
pub(crate) struct CallBundles {
    pub(crate) bundles: Vec<Bundle>,
    pub(crate) context: StateContext,
    pub(crate) overrides: Option<StateOverride>,
}

/// Refuses what is nothing, or too much.
pub(crate) fn check_size(bundles: &[Bundle]) -> Result<(), RpcError> {
    match bundles.iter().map(|bundle| bundle.transactions.len()).sum() {
        0 => Err(RpcError::InvalidParams("bundles are empty.".to_owned())),
        calls if calls > MAX_CALLS => {
            Err(RpcError::LimitExceeded(format!("too many calls: {calls}, at most {MAX_CALLS}")))
        }
        _ => Ok(()),
    }
}

impl RpcContext {
    /// Runs bundles of calls and answers output or error of each.
    pub(crate) fn call_many(&self, many: CallBundles) -> Result<Vec<Vec<EthCallResponse>>, RpcError> {
        let CallBundles { bundles, context, overrides } = many;
        check_size(&bundles)?;
        let mut sandbox = self.sandbox_in(context)?;
        if let Some(overrides) = overrides {
            sandbox.override_state(overrides)?;
        }
        // The node's cap is for all calls together: a request is one call as far as its cost goes.
        let mut gas = if self.config.gas_cap == 0 { u64::MAX } else { self.config.gas_cap };
        let mut answer = Vec::with_capacity(bundles.len());
        for Bundle { transactions, block_override } in bundles {
            if let Some(overrides) = block_override {
                sandbox.override_block(overrides);
            }
            let mut outputs = Vec::with_capacity(transactions.len());
            for request in transactions {
                let mut tx = self.call_tx(request, sandbox.env())?;
                tx.0.base.gas_limit = tx.0.base.gas_limit.min(gas);
                let outcome = sandbox.transact(tx)?;
                gas = gas.saturating_sub(outcome.result.tx_gas_used());
                outputs.push(match output_of(outcome.result.clone()) {
                    Ok(output) => EthCallResponse { value: Some(output), error: None },
                    Err(error) => EthCallResponse { value: None, error: Some(error.to_string()) },
                });
                sandbox.commit(outcome);
            }
            answer.push(outputs);
        }
        Ok(answer)
    }

    /// The state after a block, or after some of its transactions.
    pub(crate) fn sandbox_in(&self, context: StateContext) -> Result<Sandbox, RpcError> {
        let id = context.block_number.unwrap_or_default();
        let Some(TransactionIndex::Index(index)) = context.transaction_index else {
            return Ok(self.sandbox(id)?.1);
        };
        let block = self.block(id)?.ok_or(RpcError::BlockNotFound(id))?;
        if block.number() == 0 {
            return Ok(self.sandbox(BlockId::hash(block.hash()))?.1);
        }
        let mut sandbox = self.before(&block)?;
        sandbox.advance(block.recovered().take(index))?;
        sandbox.set_fee_mode(FeeMode::Call);
        Ok(sandbox)
    }
}
