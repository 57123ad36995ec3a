//! From a call object to what the EVM wants.

use crate::{RpcContext, RpcError};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_evm::rpc::{CallFeesError, EthTxEnvError, TryIntoTxEnv};
use alloy_op_evm::OpTx;
use alloy_primitives::Bytes;
use alloy_rpc_types_eth::TransactionRequest;
use op_revm::{OpHaltReason, OpTransaction, OpTransactionError};
use revm::{
    context::TxEnv,
    context_interface::result::{ExecutionResult, HaltReason, InvalidTransaction},
};
use std::time::{SystemTime, UNIX_EPOCH};
use tributary_evm::{CallError, Env, NextBlock, Sandbox};
use tributary_spec::SealedHeader;

impl RpcContext {
    /// A copy of the state after a block, to run in. In `pending` the block is the one to come, whether or not it is made.
    pub(crate) fn sandbox(&self, id: BlockId) -> Result<(SealedHeader, Sandbox), RpcError> {
        let (header, state) = self.state(id)?;
        let env = match id {
            BlockId::Number(BlockNumberOrTag::Pending) if self.pending.is_none() => {
                self.pending_env(&header)?
            }
            _ => self.executor.evm_env(&header),
        };
        Ok((header, self.executor.sandbox(state, env)))
    }

    fn pending_env(&self, head: &SealedHeader) -> Result<Env, RpcError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let next = NextBlock {
            timestamp: now.max(head.timestamp + 1),
            fee_recipient: head.beneficiary,
            prev_randao: head.mix_hash,
            gas_limit: head.gas_limit,
        };
        self.executor.next_env(head, next).map_err(RpcError::internal)
    }

    /// The transaction that a call object stands for. Without a gas limit it gets the node's cap.
    pub(crate) fn call_tx(&self, mut request: TransactionRequest, env: &Env) -> Result<OpTx, RpcError> {
        let want = self.spec.chain_id();
        if let Some(have) = request.chain_id.filter(|have| *have != want) {
            return Err(RpcError::InvalidTransaction(format!("invalid chain ID: have {have}, want {want}")));
        }
        request_type_supported(&request)?;
        let cap = if self.config.gas_cap == 0 { u64::MAX } else { self.config.gas_cap };
        request.gas = Some(request.gas.unwrap_or(cap).min(cap));
        let base: TxEnv = request.try_into_tx_env(env).map_err(|error| match error {
            // The call says two things at once.
            EthTxEnvError::Input(_)
            | EthTxEnvError::CallFees(CallFeesError::ConflictingFeeFieldsInRequest) => {
                RpcError::InvalidParams(error.to_string())
            }
            error => RpcError::InvalidTransaction(error.to_string()),
        })?;
        Ok(OpTx(OpTransaction { base, enveloped_tx: Some(Bytes::new()), deposit: Default::default() }))
    }
}

/// Refuses calls that carry blobs.
pub(crate) fn request_type_supported(request: &TransactionRequest) -> Result<(), RpcError> {
    let blobs = request.blob_versioned_hashes.is_some() || request.sidecar.is_some();
    if blobs || request.transaction_type == Some(3) {
        return Err(RpcError::InvalidTransaction("transaction type not supported".to_owned()));
    }
    Ok(())
}

/// The output of a call that succeeded.
pub(crate) fn output_of(result: ExecutionResult<OpHaltReason>) -> Result<Bytes, RpcError> {
    match result {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(RpcError::Reverted(output)),
        ExecutionResult::Halt { reason, gas, .. } => {
            Err(RpcError::Halted(halt_text(&reason, gas.tx_gas_used())))
        }
    }
}

/// Why a run ended without a result, in geth's words.
pub(crate) fn halt_text(reason: &OpHaltReason, gas: u64) -> String {
    let OpHaltReason::Base(reason) = reason else { return "failed deposit".to_owned() };
    let text = match reason {
        HaltReason::OutOfGas(_) => return format!("out of gas: gas required exceeds: {gas}"),
        HaltReason::PrecompileErrorWithContext(context) => {
            return format!("precompiled contract failed: {context}");
        }
        HaltReason::PrecompileError => "precompiled contract failed",
        HaltReason::InvalidFEOpcode => "invalid opcode: INVALID",
        HaltReason::OpcodeNotFound | HaltReason::NotActivated => "invalid opcode",
        HaltReason::InvalidJump => "invalid jump destination",
        HaltReason::StackUnderflow => "stack underflow",
        HaltReason::StackOverflow => "stack limit reached 1024",
        HaltReason::OutOfOffset => "return data out of bounds",
        HaltReason::CreateCollision => "contract address collision",
        HaltReason::NonceOverflow => "nonce uint64 overflow",
        HaltReason::CreateContractSizeLimit => "max code size exceeded",
        HaltReason::CreateInitCodeSizeLimit => "max initcode size exceeded",
        HaltReason::CreateContractStartingWithEF => "invalid code: must not begin with 0xef",
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => {
            "write protection"
        }
        HaltReason::OutOfFunds | HaltReason::OverflowPayment => "insufficient balance for transfer",
        HaltReason::CallTooDeep => "max call depth exceeded",
    };
    text.to_owned()
}

impl From<CallError> for RpcError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Invalid(error) => Self::InvalidTransaction(fault_text(&error)),
            CallError::Override(error) => Self::InvalidParams(error),
            CallError::State(error) => Self::State(error),
            error => Self::internal(error),
        }
    }
}

/// The texts that wallets know.
fn fault_text(error: &OpTransactionError) -> String {
    let OpTransactionError::Base(error) = error else { return error.to_string() };
    match error {
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => {
            format!("insufficient funds for gas * price + value: have {balance} want {fee}")
        }
        InvalidTransaction::GasPriceLessThanBasefee => "max fee per gas less than block base fee".to_owned(),
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            format!("intrinsic gas too low: have {gas_limit}, want {initial_gas}")
        }
        InvalidTransaction::NonceTooLow { tx, state } => {
            format!("nonce too low: next nonce {state}, tx nonce {tx}")
        }
        InvalidTransaction::NonceTooHigh { tx, state } => {
            format!("nonce too high: next nonce {state}, tx nonce {tx}")
        }
        error => error.to_string(),
    }
}
