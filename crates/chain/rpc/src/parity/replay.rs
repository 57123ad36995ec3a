//! Transactions of the chain, run again.

use crate::{
    RpcContext, RpcError,
    debug::{Bounded, Budget, Kept},
};
use alloy_consensus::transaction::Recovered;
use alloy_eips::BlockId;
use alloy_op_evm::OpTx;
use alloy_primitives::{B256, map::HashSet};
use alloy_rpc_types_eth::TransactionInfo;
use alloy_rpc_types_trace::{
    opcode::{BlockOpcodeGas, TransactionOpcodeGas},
    parity::{LocalizedTransactionTrace, TraceResults, TraceResultsWithTransactionHash, TraceType},
};
use op_revm::OpHaltReason;
use revm::context_interface::result::ResultAndState;
use revm_inspectors::{
    opcode::OpcodeGasInspector,
    tracing::{TracingInspector, TracingInspectorConfig},
};
use tributary_evm::{Sandbox, tx_env};
use tributary_spec::{RecoveredBlock, Tx};

/// What a transaction does besides what is recorded of it.
pub(super) type Outcome = ResultAndState<OpHaltReason>;

impl RpcContext {
    /// One request's bytes and time.
    pub(super) fn parity_budget(&self) -> Result<Budget, RpcError> {
        Budget::new(self.config.max_trace_bytes, None)
    }

    /// All calls of a block.
    pub(super) fn parity_block(
        &self,
        id: BlockId,
    ) -> Result<Option<Vec<LocalizedTransactionTrace>>, RpcError> {
        let Some(block) = self.block(id)? else { return Ok(None) };
        let mut traces = Vec::new();
        self.localized(&block, &mut self.parity_budget()?, |trace| {
            traces.push(trace);
            true
        })?;
        Ok(Some(traces))
    }

    /// Hands each call of a block to `take` until that has enough.
    pub(super) fn localized(
        &self,
        block: &RecoveredBlock,
        budget: &mut Budget,
        mut take: impl FnMut(LocalizedTransactionTrace) -> bool,
    ) -> Result<(), RpcError> {
        if block.transactions().is_empty() {
            return Ok(());
        }
        let mut sandbox = self.before(block)?;
        for (index, tx) in block.recovered().enumerate() {
            let (inspector, outcome) =
                record(&mut sandbox, tx_env(tx), TracingInspectorConfig::default_parity(), budget)?;
            let traces =
                inspector.into_parity_builder().into_localized_transaction_traces(place(block, index, tx));
            if !traces.into_iter().all(&mut take) {
                return Ok(());
            }
            sandbox.commit(outcome);
        }
        Ok(())
    }

    /// All calls of a transaction.
    pub(super) fn parity_transaction(
        &self,
        hash: B256,
    ) -> Result<Option<Vec<LocalizedTransactionTrace>>, RpcError> {
        let Some((block, index)) = self.mined(hash)? else { return Ok(None) };
        let Some((mut sandbox, tx)) = self.before_transaction(&block, index)? else { return Ok(None) };
        let config = TracingInspectorConfig::default_parity();
        let (inspector, _) = record(&mut sandbox, tx_env(tx), config, &mut self.parity_budget()?)?;
        let place = place(&block, index, tx);
        Ok(Some(inspector.into_parity_builder().into_localized_transaction_traces(place)))
    }

    /// Runs a transaction again and answers what is asked for.
    pub(super) fn parity_replay_transaction(
        &self,
        hash: B256,
        types: &HashSet<TraceType>,
    ) -> Result<TraceResults, RpcError> {
        let (block, index) = self.mined(hash)?.ok_or(RpcError::TransactionNotFound)?;
        let found = self.before_transaction(&block, index)?;
        let (mut sandbox, tx) = found.ok_or(RpcError::TransactionNotFound)?;
        Ok(results(&mut sandbox, tx_env(tx), types, &mut self.parity_budget()?)?.0)
    }

    /// Runs all transactions of a block again and answers what is asked for.
    pub(super) fn parity_replay_block(
        &self,
        id: BlockId,
        types: &HashSet<TraceType>,
    ) -> Result<Option<Vec<TraceResultsWithTransactionHash>>, RpcError> {
        let Some(block) = self.block(id)? else { return Ok(None) };
        if block.transactions().is_empty() {
            return Ok(Some(Vec::new()));
        }
        let mut budget = self.parity_budget()?;
        let mut sandbox = self.before(&block)?;
        let mut answer = Vec::with_capacity(block.transactions().len());
        for tx in block.recovered() {
            let transaction_hash = tx.inner().tx_hash();
            let (full_trace, outcome) = results(&mut sandbox, tx_env(tx), types, &mut budget)?;
            sandbox.commit(outcome);
            answer.push(TraceResultsWithTransactionHash { full_trace, transaction_hash });
        }
        Ok(Some(answer))
    }

    /// Gas of a transaction by opcode.
    pub(super) fn opcode_gas_of_transaction(
        &self,
        hash: B256,
    ) -> Result<Option<TransactionOpcodeGas>, RpcError> {
        let Some((block, index)) = self.mined(hash)? else { return Ok(None) };
        let Some((mut sandbox, tx)) = self.before_transaction(&block, index)? else { return Ok(None) };
        Ok(Some(opcode_gas(&mut sandbox, tx, &mut self.parity_budget()?)?.0))
    }

    /// Gas of a block's transactions by opcode.
    pub(super) fn opcode_gas_of_block(&self, id: BlockId) -> Result<Option<BlockOpcodeGas>, RpcError> {
        let Some(block) = self.block(id)? else { return Ok(None) };
        let mut transactions = Vec::with_capacity(block.transactions().len());
        if !block.transactions().is_empty() {
            let mut budget = self.parity_budget()?;
            let mut sandbox = self.before(&block)?;
            for tx in block.recovered() {
                let (gas, outcome) = opcode_gas(&mut sandbox, tx, &mut budget)?;
                sandbox.commit(outcome);
                transactions.push(gas);
            }
        }
        Ok(Some(BlockOpcodeGas { block_hash: block.hash(), block_number: block.number(), transactions }))
    }

    /// The state in which a block's transaction runs, and the transaction.
    fn before_transaction<'a>(
        &self,
        block: &'a RecoveredBlock,
        index: usize,
    ) -> Result<Option<(Sandbox, Recovered<&'a Tx>)>, RpcError> {
        let Some(tx) = block.recovered().nth(index) else { return Ok(None) };
        let mut sandbox = self.before(block)?;
        sandbox.advance(block.recovered().take(index))?;
        Ok(Some((sandbox, tx)))
    }
}

/// Runs a transaction under a recorder.
fn record(
    sandbox: &mut Sandbox,
    tx: OpTx,
    config: TracingInspectorConfig,
    budget: &mut Budget,
) -> Result<(TracingInspector, Outcome), RpcError> {
    let mut inspector = TracingInspector::new(config);
    let outcome = sandbox.inspect(tx, Bounded::new(&mut inspector, Kept::parity(&config), budget));
    budget.check()?;
    Ok((inspector, outcome?))
}

/// Runs a transaction and answers what is asked for. Its changes are not kept yet.
pub(super) fn results(
    sandbox: &mut Sandbox,
    tx: OpTx,
    types: &HashSet<TraceType>,
    budget: &mut Budget,
) -> Result<(TraceResults, Outcome), RpcError> {
    let config = TracingInspectorConfig::from_parity_config(types);
    let (inspector, outcome) = record(sandbox, tx, config, budget)?;
    let results = inspector
        .into_parity_builder()
        .into_trace_results_with_state(&outcome, types, sandbox.db())
        .map_err(RpcError::internal)?;
    Ok((results, outcome))
}

fn opcode_gas(
    sandbox: &mut Sandbox,
    tx: Recovered<&Tx>,
    budget: &mut Budget,
) -> Result<(TransactionOpcodeGas, Outcome), RpcError> {
    let mut inspector = OpcodeGasInspector::default();
    let outcome = sandbox.inspect(tx_env(tx), Bounded::new(&mut inspector, Kept::default(), budget));
    budget.check()?;
    let mut opcode_gas: Vec<_> = inspector.opcode_gas_iter().collect();
    opcode_gas.sort_unstable_by(|a, b| a.opcode.cmp(&b.opcode));
    Ok((TransactionOpcodeGas { transaction_hash: tx.inner().tx_hash(), opcode_gas }, outcome?))
}

fn place(block: &RecoveredBlock, index: usize, tx: Recovered<&Tx>) -> TransactionInfo {
    TransactionInfo {
        hash: Some(tx.inner().tx_hash()),
        index: Some(index as u64),
        block_hash: Some(block.hash()),
        block_number: Some(block.number()),
        base_fee: block.header().base_fee_per_gas,
        block_timestamp: Some(block.header().timestamp),
    }
}
