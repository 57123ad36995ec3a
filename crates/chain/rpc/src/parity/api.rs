//! The methods and their parameters.

use super::TraceFilterRequest;
use crate::{Lane, RpcContext, eth::CallRequest};
use alloy_eips::BlockId;
use alloy_primitives::{B256, Bytes, map::HashSet};
use alloy_rpc_types_eth::{BlockOverrides, Index, TransactionRequest, state::StateOverride};
use alloy_rpc_types_trace::{
    opcode::{BlockOpcodeGas, TransactionOpcodeGas},
    parity::{LocalizedTransactionTrace, TraceResults, TraceResultsWithTransactionHash, TraceType},
};
use jsonrpsee::{
    core::{RpcResult, async_trait},
    proc_macros::rpc,
};

/// Traces in Parity's form.
#[rpc(server, namespace = "trace")]
pub trait TraceApi {
    /// Runs a call.
    #[method(name = "call")]
    async fn call(
        &self,
        request: TransactionRequest,
        types: HashSet<TraceType>,
        block: Option<BlockId>,
        state_overrides: Option<StateOverride>,
        block_overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<TraceResults>;

    /// Runs calls one on the other.
    #[method(name = "callMany")]
    async fn call_many(
        &self,
        calls: Vec<(TransactionRequest, HashSet<TraceType>)>,
        block: Option<BlockId>,
    ) -> RpcResult<Vec<TraceResults>>;

    /// Runs a signed transaction without sending it.
    #[method(name = "rawTransaction")]
    async fn raw_transaction(
        &self,
        bytes: Bytes,
        types: HashSet<TraceType>,
        block: Option<BlockId>,
    ) -> RpcResult<TraceResults>;

    /// Runs all transactions of a block again; null if there is no such block.
    #[method(name = "replayBlockTransactions")]
    async fn replay_block_transactions(
        &self,
        block: BlockId,
        types: HashSet<TraceType>,
    ) -> RpcResult<Option<Vec<TraceResultsWithTransactionHash>>>;

    /// Runs a transaction of the chain again.
    #[method(name = "replayTransaction")]
    async fn replay_transaction(&self, hash: B256, types: HashSet<TraceType>) -> RpcResult<TraceResults>;

    /// All calls of a block; null if there is no such block.
    #[method(name = "block")]
    async fn block(&self, block: BlockId) -> RpcResult<Option<Vec<LocalizedTransactionTrace>>>;

    /// Calls from and to some addresses in a range of blocks.
    #[method(name = "filter")]
    async fn filter(&self, filter: TraceFilterRequest) -> RpcResult<Vec<LocalizedTransactionTrace>>;

    /// One call of a transaction by its position; null if there is none.
    #[method(name = "get")]
    async fn get(&self, hash: B256, indices: Vec<Index>) -> RpcResult<Option<LocalizedTransactionTrace>>;

    /// All calls of a transaction; null if there is no such transaction.
    #[method(name = "transaction")]
    async fn transaction(&self, hash: B256) -> RpcResult<Option<Vec<LocalizedTransactionTrace>>>;

    /// Gas of a transaction by opcode; null if there is no such transaction.
    #[method(name = "transactionOpcodeGas")]
    async fn transaction_opcode_gas(&self, hash: B256) -> RpcResult<Option<TransactionOpcodeGas>>;

    /// Gas of a block's transactions by opcode; null if there is no such block.
    #[method(name = "blockOpcodeGas")]
    async fn block_opcode_gas(&self, block: BlockId) -> RpcResult<Option<BlockOpcodeGas>>;
}

/// The methods.
#[derive(Debug)]
pub(crate) struct TraceMethods(pub(crate) RpcContext);

#[async_trait]
impl TraceApiServer for TraceMethods {
    async fn call(
        &self,
        request: TransactionRequest,
        types: HashSet<TraceType>,
        block: Option<BlockId>,
        state_overrides: Option<StateOverride>,
        block_overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<TraceResults> {
        let call = CallRequest::new(request, block, state_overrides, block_overrides);
        self.0.run(Lane::Trace, move |context| context.parity_call(call, &types)).await
    }

    async fn call_many(
        &self,
        calls: Vec<(TransactionRequest, HashSet<TraceType>)>,
        block: Option<BlockId>,
    ) -> RpcResult<Vec<TraceResults>> {
        self.0.run(Lane::Trace, move |context| context.parity_call_many(calls, block)).await
    }

    async fn raw_transaction(
        &self,
        bytes: Bytes,
        types: HashSet<TraceType>,
        block: Option<BlockId>,
    ) -> RpcResult<TraceResults> {
        self.0.run(Lane::Trace, move |context| context.parity_raw(&bytes, &types, block)).await
    }

    async fn replay_block_transactions(
        &self,
        block: BlockId,
        types: HashSet<TraceType>,
    ) -> RpcResult<Option<Vec<TraceResultsWithTransactionHash>>> {
        self.0.run(Lane::Trace, move |context| context.parity_replay_block(block, &types)).await
    }

    async fn replay_transaction(&self, hash: B256, types: HashSet<TraceType>) -> RpcResult<TraceResults> {
        self.0.run(Lane::Trace, move |context| context.parity_replay_transaction(hash, &types)).await
    }

    async fn block(&self, block: BlockId) -> RpcResult<Option<Vec<LocalizedTransactionTrace>>> {
        self.0.run(Lane::Trace, move |context| context.parity_block(block)).await
    }

    async fn filter(&self, filter: TraceFilterRequest) -> RpcResult<Vec<LocalizedTransactionTrace>> {
        self.0.run(Lane::Trace, move |context| context.parity_filter(&filter)).await
    }

    async fn get(&self, hash: B256, indices: Vec<Index>) -> RpcResult<Option<LocalizedTransactionTrace>> {
        // As Parity had it: a call has one position.
        let [index] = indices[..] else { return Ok(None) };
        let traces = self.transaction(hash).await?;
        Ok(traces.and_then(|traces| traces.into_iter().nth(index.0)))
    }

    async fn transaction(&self, hash: B256) -> RpcResult<Option<Vec<LocalizedTransactionTrace>>> {
        self.0.run(Lane::Trace, move |context| context.parity_transaction(hash)).await
    }

    async fn transaction_opcode_gas(&self, hash: B256) -> RpcResult<Option<TransactionOpcodeGas>> {
        self.0.run(Lane::Trace, move |context| context.opcode_gas_of_transaction(hash)).await
    }

    async fn block_opcode_gas(&self, block: BlockId) -> RpcResult<Option<BlockOpcodeGas>> {
        self.0.run(Lane::Trace, move |context| context.opcode_gas_of_block(block)).await
    }
}
