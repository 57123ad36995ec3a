//! `eth_estimateGas`.

use crate::{
    RpcContext, RpcError,
    eth::{CallRequest, request::halt_text},
};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::{BlockId, Encodable2718};
use alloy_op_evm::OpTx;
use alloy_primitives::{Signature, U256};
use revm::{Database, context::Transaction as _};
use tributary_evm::{EstimateError, L1Fees, Sandbox};

/// Gas of the cheapest transaction.
const TRANSFER_GAS: u64 = 21_000;

impl RpcContext {
    /// The least gas with which a transaction succeeds in the block to come (or in the one that is named).
    pub(crate) fn estimate(&self, call: CallRequest) -> Result<u64, RpcError> {
        let (mut sandbox, mut tx) = self.prepare(call, BlockId::pending())?;
        if tx.0.base.gas_price > 0 {
            let allowance = allowance(&mut sandbox, &tx)?;
            if allowance < TRANSFER_GAS {
                return Err(RpcError::GasRequiredExceedsAllowance(allowance));
            }
            tx.0.base.gas_limit = tx.0.base.gas_limit.min(allowance);
        }
        sandbox.estimate_gas(&tx).map_err(RpcError::from)
    }
}

/// The gas that the sender can pay for, after value, L1 fee and the constant part of the operator fee; the part of it
/// that grows with gas adds to the price.
fn allowance(sandbox: &mut Sandbox, tx: &OpTx) -> Result<u64, RpcError> {
    let (number, fork) = (sandbox.env().block_env.number.saturating_to(), sandbox.env().cfg_env.spec);
    let fees = L1Fees::fetch(sandbox.db_mut(), number, fork).map_err(RpcError::internal)?;
    let balance =
        sandbox.db_mut().basic(tx.caller()).map_err(RpcError::internal)?.unwrap_or_default().balance;
    let encoded = stand_in(tx);
    let upfront =
        tx.value().saturating_add(fees.l1_cost(&encoded)).saturating_add(fees.operator_fee(&encoded, 0));
    let Some(available) = balance.checked_sub(upfront) else {
        return Err(RpcError::InvalidTransaction(format!(
            "insufficient funds for gas * price + value: have {balance} want {upfront}"
        )));
    };
    const MILLION: u64 = 1_000_000;
    let per_million = fees.operator_fee(&encoded, MILLION).saturating_sub(fees.operator_fee(&encoded, 0));
    let price = U256::from(tx.gas_price()).saturating_mul(U256::from(MILLION)).saturating_add(per_million);
    Ok((available.saturating_mul(U256::from(MILLION)) / price).saturating_to())
}

/// A signed transaction of the same size: what the L1 fee will be charged for. Its signature does not compress.
fn stand_in(tx: &OpTx) -> Vec<u8> {
    let noise = |byte: u8| U256::from_be_bytes(alloy_primitives::keccak256([byte]).0);
    let base = &tx.0.base;
    let unsigned = TxEip1559 {
        chain_id: base.chain_id.unwrap_or_default(),
        nonce: base.nonce,
        gas_limit: base.gas_limit,
        max_fee_per_gas: base.gas_price,
        max_priority_fee_per_gas: base.gas_priority_fee.unwrap_or(base.gas_price),
        to: base.kind,
        value: base.value,
        access_list: base.access_list.clone(),
        input: base.data.clone(),
    };
    TxEnvelope::Eip1559(unsigned.into_signed(Signature::new(noise(0), noise(1), true))).encoded_2718()
}

impl From<EstimateError> for RpcError {
    fn from(error: EstimateError) -> Self {
        match error {
            EstimateError::Revert(output) => Self::Reverted(output),
            EstimateError::Halt(reason) => Self::Halted(halt_text(&reason, 0)),
            EstimateError::Allowance(gas) => Self::GasRequiredExceedsAllowance(gas),
            EstimateError::Call(error) => error.into(),
            error => Self::internal(error),
        }
    }
}
