//! Traces: struct logs, call trees, prestates and whatever else `revm-inspectors` makes.

use super::{
    api::BlockTrace,
    bounded::{Bounded, Kept},
    budget::Budget,
};
use crate::{
    RpcContext, RpcError,
    eth::{CallRequest, check_bundles},
};
use alloy_consensus::transaction::Recovered;
use alloy_eips::BlockId;
use alloy_op_evm::OpTx;
use alloy_primitives::B256;
use alloy_rpc_types_eth::{Bundle, StateContext, TransactionRequest};
use alloy_rpc_types_trace::{
    common::TraceResult,
    geth::{GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace},
};
use op_revm::OpHaltReason;
use revm::context_interface::result::ResultAndState;
use revm_inspectors::tracing::{DebugInspector, DebugInspectorError, TransactionContext};
use std::fmt::Display;
use tributary_evm::{Sandbox, tx_env};
use tributary_spec::{Block, RecoveredBlock, Tx};

impl RpcContext {
    /// Runs a transaction of the chain again, after those before it in its block.
    pub(super) fn trace_transaction(
        &self,
        hash: B256,
        options: GethDebugTracingOptions,
    ) -> Result<GethTrace, RpcError> {
        let mut budget = self.trace_budget(&options)?;
        let (block, index) = self.locate(hash)?.ok_or(RpcError::TransactionNotFound)?;
        let block = self.block(BlockId::hash(block))?.ok_or(RpcError::TransactionNotFound)?;
        let mut sandbox = self.before(&block)?;
        sandbox.advance(block.recovered().take(index))?;
        let tx = block.recovered().nth(index).ok_or(RpcError::TransactionNotFound)?;
        Ok(trace_mined(&mut sandbox, &block, index, tx, options, &mut budget)?.0)
    }

    /// Runs all transactions of a block again.
    pub(super) fn trace_block(
        &self,
        id: BlockId,
        options: GethDebugTracingOptions,
    ) -> Result<BlockTrace, RpcError> {
        let block = self.block(id)?.ok_or(RpcError::BlockNotFound(id))?;
        self.trace_whole(&block, options)
    }

    /// Runs all transactions of a block that somebody gives; its parent is known here.
    pub(super) fn trace_given_block(
        &self,
        rlp: &[u8],
        options: GethDebugTracingOptions,
    ) -> Result<BlockTrace, RpcError> {
        let block = alloy_rlp::decode_exact::<Block>(rlp)
            .map_err(|error| RpcError::InvalidParams(format!("block: {error}")))?;
        let block = RecoveredBlock::recover(block)
            .map_err(|error| RpcError::InvalidParams(format!("block: {error}")))?;
        self.trace_whole(&block, options)
    }

    fn trace_whole(
        &self,
        block: &RecoveredBlock,
        options: GethDebugTracingOptions,
    ) -> Result<BlockTrace, RpcError> {
        if block.number() == 0 {
            return Err(RpcError::Unsupported("genesis is not traceable".to_owned()));
        }
        let mut budget = self.trace_budget(&options)?;
        let mut sandbox = self.before(block)?;
        let mut traces = Vec::with_capacity(block.transactions().len());
        for (index, tx) in block.recovered().enumerate() {
            let hash = tx.inner().tx_hash();
            let (trace, result) = trace_mined(&mut sandbox, block, index, tx, options.clone(), &mut budget)?;
            sandbox.commit(result);
            traces.push(TraceResult::Success { result: trace, tx_hash: Some(hash) });
        }
        Ok(traces)
    }

    /// Runs a call on the state after a block, or in the middle of one (`txIndex`).
    pub(super) fn trace_call(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        options: GethDebugTracingCallOptions,
    ) -> Result<GethTrace, RpcError> {
        let GethDebugTracingCallOptions { tracing_options, state_overrides, block_overrides, tx_index } =
            options;
        let mut budget = self.trace_budget(&tracing_options)?;
        let Some(index) = tx_index else {
            let call = CallRequest::new(request, block, state_overrides, block_overrides.map(Box::new));
            let (mut sandbox, tx) = self.prepare(call, BlockId::latest())?;
            return Ok(trace(&mut sandbox, tx, None, tracing_options, &mut budget)?.0);
        };
        let id = block.unwrap_or_default();
        let block = self.block(id)?.ok_or(RpcError::BlockNotFound(id))?;
        let mut sandbox = self.before(&block)?;
        sandbox.advance(block.recovered().take(usize::try_from(index).unwrap_or(usize::MAX)))?;
        sandbox.set_fee_mode(tributary_evm::FeeMode::Call);
        if let Some(overrides) = block_overrides {
            sandbox.override_block(overrides);
        }
        if let Some(overrides) = state_overrides {
            sandbox.override_state(overrides)?;
        }
        let tx = self.call_tx(request, sandbox.env())?;
        Ok(trace(&mut sandbox, tx, None, tracing_options, &mut budget)?.0)
    }

    /// Runs bundles of calls one on the other. Overrides of state hold for all of them.
    pub(super) fn trace_call_many(
        &self,
        bundles: Vec<Bundle>,
        place: StateContext,
        options: GethDebugTracingCallOptions,
    ) -> Result<Vec<Vec<GethTrace>>, RpcError> {
        check_bundles(&bundles)?;
        let mut budget = self.trace_budget(&options.tracing_options)?;
        let mut sandbox = self.sandbox_in(place)?;
        if let Some(overrides) = options.state_overrides {
            sandbox.override_state(overrides)?;
        }
        let mut answer = Vec::with_capacity(bundles.len());
        for Bundle { transactions, block_override } in bundles {
            if let Some(overrides) = block_override {
                sandbox.override_block(overrides);
            }
            let mut traces = Vec::with_capacity(transactions.len());
            for request in transactions {
                let tx = self.call_tx(request, sandbox.env())?;
                let (trace, outcome) =
                    trace(&mut sandbox, tx, None, options.tracing_options.clone(), &mut budget)?;
                sandbox.commit(outcome);
                traces.push(trace);
            }
            answer.push(traces);
        }
        Ok(answer)
    }

    fn trace_budget(&self, options: &GethDebugTracingOptions) -> Result<Budget, RpcError> {
        Budget::new(self.config.max_trace_bytes, options.timeout.as_deref())
    }

    /// The state in which a block's first transaction runs.
    pub(crate) fn before(&self, block: &RecoveredBlock) -> Result<Sandbox, RpcError> {
        let (_, parent_state) = self.state(BlockId::hash(block.parent_hash()))?;
        Ok(self.executor.replay(block, parent_state)?)
    }
}

fn trace_mined(
    sandbox: &mut Sandbox,
    block: &RecoveredBlock,
    index: usize,
    tx: Recovered<&Tx>,
    options: GethDebugTracingOptions,
    budget: &mut Budget,
) -> Result<(GethTrace, ResultAndState<OpHaltReason>), RpcError> {
    let place = TransactionContext {
        block_hash: Some(block.hash()),
        tx_hash: Some(tx.inner().tx_hash()),
        tx_index: Some(index),
    };
    trace(sandbox, tx_env(tx), Some(place), options, budget)
}

fn trace(
    sandbox: &mut Sandbox,
    tx: OpTx,
    place: Option<TransactionContext>,
    options: GethDebugTracingOptions,
    budget: &mut Budget,
) -> Result<(GethTrace, ResultAndState<OpHaltReason>), RpcError> {
    let mut inspector = DebugInspector::new(options).map_err(tracer_error)?;
    let kept = Kept::by(&inspector);
    let result = sandbox.inspect(tx.clone(), Bounded::new(&mut inspector, kept, budget));
    budget.check()?;
    let result = result?;
    let block_env = sandbox.env().block_env.clone();
    let trace =
        inspector.get_result(place, &tx, &block_env, &result, sandbox.db_mut()).map_err(tracer_error)?;
    Ok((trace, result))
}

fn tracer_error<E: Display>(error: DebugInspectorError<E>) -> RpcError {
    match error {
        DebugInspectorError::Database(error) => RpcError::internal(error),
        error => RpcError::InvalidParams(error.to_string()),
    }
}
