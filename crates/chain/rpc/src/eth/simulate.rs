//! `eth_simulateV1`: calls in blocks that never will be.
//!
//! Codes are those of <https://github.com/ethereum/execution-apis/blob/main/src/eth/execute.yaml>.

use crate::{
    RpcBlock, RpcContext, RpcError,
    convert::block_to_rpc,
    eth::request::{halt_text, request_type_supported},
};
use alloy_consensus::transaction::Recovered;
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Log as PlainLog, Signature, TxKind, U256};
use alloy_rpc_types_eth::{
    BlockOverrides, Log, TransactionRequest,
    simulate::{
        MAX_SIMULATE_BLOCKS, SimBlock, SimCallResult, SimulateError, SimulatePayload, SimulatedBlock,
    },
};
use op_alloy_rpc_types::OpTransactionRequest;
use op_revm::{OpHaltReason, OpTransactionError};
use revm::context_interface::result::{ExecutionResult, InvalidTransaction};
use revm_inspectors::transfer::TransferInspector;
use tributary_evm::{CallError, Simulator};
use tributary_spec::{RecoveredBlock, Tx};

/// Seconds between simulated blocks whose time is not said.
const BLOCK_TIME: u64 = 12;

mod code {
    pub(super) const BLOCK_NUMBERS: i32 = -38020;
    pub(super) const BLOCK_TIMES: i32 = -38021;
    pub(super) const BLOCK_GAS: i32 = -38015;
    pub(super) const TOO_MANY: i32 = -38026;
    pub(super) const NONCE_TOO_LOW: i32 = -38010;
    pub(super) const NONCE_TOO_HIGH: i32 = -38011;
    pub(super) const FEE_CAP: i32 = -38012;
    pub(super) const INTRINSIC_GAS: i32 = -38013;
    pub(super) const FUNDS: i32 = -38014;
}

/// What of a request holds for all of its blocks.
struct Rules {
    validation: bool,
    trace_transfers: bool,
    full: bool,
    /// Gas that all calls together may still use.
    gas: u64,
}

impl RpcContext {
    /// Simulates blocks on top of one.
    pub(crate) fn simulate(
        &self,
        payload: SimulatePayload,
        block: Option<BlockId>,
    ) -> Result<Vec<SimulatedBlock<RpcBlock>>, RpcError> {
        let SimulatePayload { block_state_calls, trace_transfers, validation, return_full_transactions } =
            payload;
        if block_state_calls.is_empty() {
            return Err(RpcError::InvalidParams("empty input".to_owned()));
        }
        let (parent, state) = self.state(block.unwrap_or_default())?;
        let mut simulator = self.executor.simulator(parent, state);
        let mut rules = Rules {
            validation,
            trace_transfers,
            full: return_full_transactions,
            gas: if self.config.gas_cap == 0 { u64::MAX } else { self.config.gas_cap },
        };
        let mut answer = Vec::new();
        for wanted in with_gaps(simulator.parent().number, block_state_calls)? {
            answer.push(self.simulate_block(&mut simulator, wanted, &mut rules)?);
        }
        Ok(answer)
    }

    fn simulate_block(
        &self,
        simulator: &mut Simulator,
        wanted: SimBlock,
        rules: &mut Rules,
    ) -> Result<SimulatedBlock<RpcBlock>, RpcError> {
        let SimBlock { block_overrides, state_overrides, calls } = wanted;
        let overrides = block_overrides.unwrap_or_default();
        let parent_time = simulator.parent().timestamp;
        if let Some(time) = overrides.time.filter(|time| *time <= parent_time) {
            let why = format!("block timestamps must be increasing: {time} <= {parent_time}");
            return Err(RpcError::Simulation { code: code::BLOCK_TIMES, message: why });
        }
        let time = parent_time.saturating_add(BLOCK_TIME);
        simulator.open(time, overrides, state_overrides, rules.validation)?;
        let mut results = Vec::with_capacity(calls.len());
        for call in calls {
            let tx = self.simulated_tx(simulator, call, rules)?;
            let inspector = TransferInspector::new(false).with_logs(rules.trace_transfers);
            let result = simulator.run(tx, inspector).map_err(refusal)?;
            rules.gas = rules.gas.saturating_sub(result.tx_gas_used());
            results.push(result);
        }
        let closed = simulator.close()?;
        let calls = call_results(&closed.block, results);
        Ok(SimulatedBlock { inner: block_to_rpc(&closed.block, &closed.receipts, rules.full), calls })
    }

    /// The transaction that a call stands for, with everything that was left out filled in.
    fn simulated_tx(
        &self,
        simulator: &mut Simulator,
        mut request: TransactionRequest,
        rules: &Rules,
    ) -> Result<Recovered<Tx>, RpcError> {
        request_type_supported(&request)?;
        let from = request.from.unwrap_or(Address::ZERO);
        let left = simulator.gas_left();
        let most = if rules.validation { simulator.max_tx_gas() } else { u64::MAX };
        let gas = request.gas.unwrap_or(left.min(most));
        if gas > left {
            let why = format!("block gas limit reached: {gas} of {left} left");
            return Err(RpcError::Simulation { code: code::BLOCK_GAS, message: why });
        }
        request.gas = Some(gas.min(rules.gas));
        if request.nonce.is_none() {
            request.nonce = Some(simulator.nonce(from)?);
        }
        request.chain_id.get_or_insert(self.spec.chain_id());
        request.to.get_or_insert(TxKind::Create);
        request.value.get_or_insert(U256::ZERO);
        if request.gas_price.is_none() {
            let base_fee = u128::from(simulator.header().base_fee_per_gas.unwrap_or_default());
            request.max_fee_per_gas.get_or_insert(if rules.validation { base_fee } else { 0 });
            request.max_priority_fee_per_gas.get_or_insert(0);
        }
        let request: OpTransactionRequest = request.into();
        let typed = request.build_typed_tx();
        let typed = typed.map_err(|_| RpcError::InvalidParams("call is no transaction".to_owned()))?;
        let signature = Signature::new(U256::ZERO, U256::ZERO, false);
        let tx = alloy_consensus::SignableTransaction::into_signed(typed, signature);
        Ok(Recovered::new_unchecked(tx.into(), from))
    }
}

/// The blocks asked for with empty ones in their gaps.
fn with_gaps(parent: u64, blocks: Vec<SimBlock>) -> Result<Vec<SimBlock>, RpcError> {
    let too_many = || RpcError::Simulation {
        code: code::TOO_MANY,
        message: format!("too many blocks: {MAX_SIMULATE_BLOCKS} at most"),
    };
    let (mut all, mut last) = (Vec::new(), parent);
    for block in blocks {
        let number = match block.block_number_override() {
            Some(number) => u64::try_from(number).map_err(|_| too_many())?,
            None => last.saturating_add(1),
        };
        if number <= last {
            let message = format!("block numbers must be increasing: {number} <= {last}");
            return Err(RpcError::Simulation { code: code::BLOCK_NUMBERS, message });
        }
        if number - parent > MAX_SIMULATE_BLOCKS {
            return Err(too_many());
        }
        all.extend((last + 1..number).map(|number| SimBlock {
            block_overrides: Some(BlockOverrides { number: Some(U256::from(number)), ..Default::default() }),
            ..SimBlock::default()
        }));
        all.push(block);
        last = number;
    }
    Ok(all)
}

fn call_results(block: &RecoveredBlock, results: Vec<ExecutionResult<OpHaltReason>>) -> Vec<SimCallResult> {
    let mut log_index = 0;
    let hashes = block.transactions().iter().map(Tx::tx_hash);
    results
        .into_iter()
        .zip(hashes)
        .enumerate()
        .map(|(index, (result, hash))| {
            let (gas_used, status) = (result.tx_gas_used(), result.is_success());
            let logs = result.logs().iter().cloned().map(|log| {
                let log = located(log, block, index as u64, hash, log_index);
                log_index += 1;
                log
            });
            let logs = logs.collect();
            let error = failure(&result);
            let return_data = result.into_output().unwrap_or_default();
            SimCallResult { return_data, logs, gas_used, max_used_gas: None, status, error }
        })
        .collect()
}

fn located(inner: PlainLog, block: &RecoveredBlock, index: u64, hash: B256, log_index: u64) -> Log {
    Log {
        inner,
        block_hash: Some(block.hash()),
        block_number: Some(block.number()),
        block_timestamp: Some(block.header().timestamp),
        transaction_hash: Some(hash),
        transaction_index: Some(index),
        log_index: Some(log_index),
        removed: false,
    }
}

fn failure(result: &ExecutionResult<OpHaltReason>) -> Option<SimulateError> {
    match result {
        ExecutionResult::Success { .. } => None,
        ExecutionResult::Revert { output, .. } => Some(SimulateError {
            code: SimulateError::EXECUTION_REVERTED_CODE,
            message: RpcError::Reverted(output.clone()).to_string(),
            data: Some(output.clone()),
        }),
        ExecutionResult::Halt { reason, gas, .. } => Some(SimulateError {
            code: SimulateError::VM_EXECUTION_ERROR_CODE,
            message: halt_text(reason, gas.tx_gas_used()),
            data: None,
        }),
    }
}

/// A call that cannot be in its block fails the request.
fn refusal(error: CallError) -> RpcError {
    let CallError::Invalid(OpTransactionError::Base(fault)) = &error else { return error.into() };
    let code = match fault {
        InvalidTransaction::NonceTooLow { .. } => code::NONCE_TOO_LOW,
        InvalidTransaction::NonceTooHigh { .. } => code::NONCE_TOO_HIGH,
        InvalidTransaction::GasPriceLessThanBasefee => code::FEE_CAP,
        InvalidTransaction::CallGasCostMoreThanGasLimit { .. } => code::INTRINSIC_GAS,
        InvalidTransaction::LackOfFundForMaxFee { .. } => code::FUNDS,
        _ => return error.into(),
    };
    RpcError::Simulation { code, message: RpcError::from(error).to_string() }
}
