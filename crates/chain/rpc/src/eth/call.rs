//! `eth_call`.

use crate::{RpcContext, RpcError, eth::request::output_of};
use alloy_eips::BlockId;
use alloy_evm::call::caller_gas_allowance;
use alloy_op_evm::OpTx;
use alloy_primitives::Bytes;
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest, state::StateOverride};
use tributary_evm::Sandbox;

/// A call: what, where, and on top of which pretences.
#[derive(Debug)]
pub(crate) struct CallRequest {
    pub(crate) request: TransactionRequest,
    pub(crate) block: Option<BlockId>,
    pub(crate) state_overrides: Option<StateOverride>,
    pub(crate) block_overrides: Option<Box<BlockOverrides>>,
}

impl CallRequest {
    pub(crate) fn new(
        request: TransactionRequest,
        block: Option<BlockId>,
        state_overrides: Option<StateOverride>,
        block_overrides: Option<Box<BlockOverrides>>,
    ) -> Self {
        Self { request, block, state_overrides, block_overrides }
    }
}

impl RpcContext {
    /// Runs a call and answers its output.
    pub(crate) fn call(&self, call: CallRequest) -> Result<Bytes, RpcError> {
        let (mut sandbox, tx) = self.prepare(call, BlockId::latest())?;
        output_of(sandbox.transact(tx)?.result)
    }

    /// The sandbox with all pretences, and the transaction, whose gas its sender can pay for.
    pub(crate) fn prepare(&self, call: CallRequest, default: BlockId) -> Result<(Sandbox, OpTx), RpcError> {
        let CallRequest { request, block, state_overrides, block_overrides } = call;
        let (_, mut sandbox) = self.sandbox(block.unwrap_or(default))?;
        if let Some(overrides) = block_overrides {
            sandbox.override_block(*overrides);
        }
        if let Some(overrides) = state_overrides {
            sandbox.override_state(overrides)?;
        }
        let gas_given = request.gas.is_some();
        let mut tx = self.call_tx(request, sandbox.env())?;
        if !gas_given && tx.0.base.gas_price > 0 {
            let allowance = caller_gas_allowance(sandbox.db_mut(), &tx)
                .map_err(|error| RpcError::InvalidTransaction(error.to_string()))?;
            tx.0.base.gas_limit = tx.0.base.gas_limit.min(allowance);
        }
        Ok((sandbox, tx))
    }
}
