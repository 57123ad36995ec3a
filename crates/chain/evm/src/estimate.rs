//! How much gas a transaction needs, by bisection, as geth does it.

use alloy_op_evm::OpTx;
use alloy_primitives::U256;
use op_revm::{OpHaltReason, OpSpecId, OpTransactionError};
use revm::{
    Database,
    context::Transaction as _,
    context_interface::result::{ExecutionResult, HaltReason, InvalidTransaction},
    primitives::eip7825::TX_GAS_LIMIT_CAP,
};

use crate::{CallError, EstimateError, Sandbox, evm::EvmFault};

const TRANSFER_GAS: u64 = 21_000;

/// Gas a call may keep back from its callee: 1/64, and the stipend of a value transfer.
const STIPEND: u64 = 2_300;

/// The answer may be this much too high, in percent: each step of bisection costs an execution.
const TOLERANCE_PERCENT: u64 = 1;

/// What an execution with a certain gas limit tells.
enum Probe {
    /// It succeeded.
    Enough { used: u64, refunded: u64 },
    /// It might succeed with more.
    TooLittle,
    /// It fails however much gas it gets.
    Fails(EstimateError),
}

impl Sandbox {
    /// The smallest gas limit, within a percent, with which `tx` succeeds. The transaction's own gas limit is the upper bound;
    /// so are the block's, what the sender can pay for, and 2²⁴ from Karst on.
    pub fn estimate_gas(&mut self, tx: &OpTx) -> Result<u64, EstimateError> {
        let limit = self.gas_ceiling(tx)?;
        if limit < TRANSFER_GAS {
            return Err(EstimateError::Allowance(limit));
        }
        if self.is_transfer(tx)? && matches!(self.probe(tx, TRANSFER_GAS)?, Probe::Enough { .. }) {
            return Ok(TRANSFER_GAS);
        }
        let (used, refunded) = match self.probe(tx, limit)? {
            Probe::Enough { used, refunded } => (used, refunded),
            Probe::TooLittle => return Err(EstimateError::Allowance(limit)),
            Probe::Fails(error) => return Err(error),
        };
        let (mut low, mut high) = (used.saturating_sub(1), limit);
        let optimistic = (used + refunded + STIPEND).saturating_mul(64) / 63;
        let mut next = optimistic;
        while low + 1 < high && (high - low) * 100 > high * TOLERANCE_PERCENT {
            let middle = if next > low && next < high { next } else { low + (high - low) / 2 };
            next = 0;
            match self.probe(tx, middle)? {
                Probe::Enough { .. } => high = middle,
                Probe::TooLittle | Probe::Fails(_) => low = middle,
            }
        }
        Ok(high)
    }

    fn gas_ceiling(&mut self, tx: &OpTx) -> Result<u64, EstimateError> {
        let block_limit = self.env().block_env.gas_limit;
        let asked = if tx.gas_limit() >= TRANSFER_GAS { tx.gas_limit() } else { block_limit };
        let mut limit = asked.min(block_limit);
        if self.env().cfg_env.spec.is_enabled_in(OpSpecId::KARST) {
            limit = limit.min(TX_GAS_LIMIT_CAP);
        }
        let price = tx.gas_price();
        if price == 0 {
            return Ok(limit);
        }
        let balance = self.balance(tx)?;
        let available = balance.checked_sub(tx.value()).ok_or_else(|| {
            let lack = InvalidTransaction::LackOfFundForMaxFee {
                fee: Box::new(tx.value()),
                balance: Box::new(balance),
            };
            CallError::Invalid(OpTransactionError::Base(lack))
        })?;
        let affordable: u64 = (available / U256::from(price)).saturating_to();
        Ok(limit.min(affordable))
    }

    fn balance(&mut self, tx: &OpTx) -> Result<U256, CallError> {
        let account = self.db_mut().basic(tx.caller()).map_err(|e| database(e.into()))?;
        Ok(account.unwrap_or_default().balance)
    }

    fn is_transfer(&mut self, tx: &OpTx) -> Result<bool, CallError> {
        let Some(to) = tx.kind().to().copied() else { return Ok(false) };
        if !tx.input().is_empty() || tx.authorization_list_len() > 0 {
            return Ok(false);
        }
        let account = self.db_mut().basic(to).map_err(|e| database(e.into()))?;
        Ok(account.is_none_or(|account| account.is_empty_code_hash()))
    }

    fn probe(&mut self, tx: &OpTx, gas_limit: u64) -> Result<Probe, EstimateError> {
        let mut tx = tx.clone();
        tx.0.base.gas_limit = gas_limit;
        let result = match self.transact(tx) {
            Ok(result) => result.result,
            Err(CallError::Invalid(OpTransactionError::Base(
                InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
                | InvalidTransaction::GasFloorMoreThanGasLimit { .. },
            ))) => return Ok(Probe::TooLittle),
            Err(error) => return Err(error.into()),
        };
        Ok(match result {
            ExecutionResult::Success { gas, .. } => {
                Probe::Enough { used: gas.tx_gas_used(), refunded: gas.final_refunded() }
            }
            ExecutionResult::Revert { output, .. } => Probe::Fails(EstimateError::Revert(output)),
            ExecutionResult::Halt { reason: OpHaltReason::Base(HaltReason::OutOfGas(_)), .. } => {
                Probe::TooLittle
            }
            ExecutionResult::Halt { reason, .. } => Probe::Fails(EstimateError::Halt(reason)),
        })
    }
}

fn database(fault: EvmFault) -> CallError {
    match fault {
        EvmFault::State(error) => CallError::State(error),
        EvmFault::Transaction(error) => CallError::Invalid(error),
        EvmFault::Internal(error) => CallError::Internal(error),
    }
}
