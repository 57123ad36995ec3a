//! The methods and their parameters.

use super::StorageRange;
use crate::{Lane, RpcContext};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes};
use alloy_rpc_types_eth::{Bundle, StateContext, TransactionRequest};
use alloy_rpc_types_trace::{
    common::TraceResult,
    geth::{GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace},
};
use jsonrpsee::{
    core::{RpcResult, async_trait},
    proc_macros::rpc,
};
use tributary_evm::Witness;

/// What became of each transaction of a block.
pub(crate) type BlockTrace = Vec<TraceResult<GethTrace, String>>;

/// Traces and raw data.
#[rpc(server, namespace = "debug")]
pub trait DebugApi {
    /// Runs a transaction of the chain again, under a tracer.
    #[method(name = "traceTransaction")]
    async fn trace_transaction(
        &self,
        hash: B256,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<GethTrace>;

    /// Runs a call under a tracer.
    #[method(name = "traceCall")]
    async fn trace_call(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        options: Option<GethDebugTracingCallOptions>,
    ) -> RpcResult<GethTrace>;

    /// Runs bundles of calls one on the other, under a tracer.
    #[method(name = "traceCallMany")]
    async fn trace_call_many(
        &self,
        bundles: Vec<Bundle>,
        place: Option<StateContext>,
        options: Option<GethDebugTracingCallOptions>,
    ) -> RpcResult<Vec<Vec<GethTrace>>>;

    /// Runs all transactions of a block again, under a tracer.
    #[method(name = "traceBlockByHash")]
    async fn trace_block_by_hash(
        &self,
        hash: B256,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<BlockTrace>;

    /// Runs all transactions of a block again, under a tracer.
    #[method(name = "traceBlockByNumber")]
    async fn trace_block_by_number(
        &self,
        number: BlockNumberOrTag,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<BlockTrace>;

    /// Runs all transactions of a block that the caller gives in RLP, under a tracer. Its parent is a block of this node.
    #[method(name = "traceBlock")]
    async fn trace_given_block(
        &self,
        rlp: Bytes,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<BlockTrace>;

    /// What it takes to execute a block where there is no state.
    #[method(name = "executionWitness")]
    async fn execution_witness(&self, block: BlockId) -> RpcResult<Witness>;

    /// What it takes to execute a block where there is no state.
    #[method(name = "executionWitnessByBlockHash")]
    async fn execution_witness_by_block_hash(&self, hash: B256) -> RpcResult<Witness>;

    /// Code (`0x63` and its hash, or the hash alone), or a trie node that was answered lately; null if there is none.
    #[method(name = "dbGet")]
    async fn db_get(&self, key: Bytes) -> RpcResult<Option<Bytes>>;

    /// Code by its hash; null if there is none.
    #[method(name = "codeByHash")]
    async fn code_by_hash(&self, hash: B256) -> RpcResult<Option<Bytes>>;

    /// Slots of an account before a transaction of a block, in order of their hashes from `start` on.
    #[method(name = "storageRangeAt")]
    async fn storage_range_at(
        &self,
        block: BlockId,
        index: usize,
        address: Address,
        start: Bytes,
        limit: u64,
    ) -> RpcResult<StorageRange>;

    /// A header in RLP.
    #[method(name = "getRawHeader")]
    async fn raw_header(&self, block: BlockId) -> RpcResult<Bytes>;

    /// A block in RLP.
    #[method(name = "getRawBlock")]
    async fn raw_block(&self, block: BlockId) -> RpcResult<Bytes>;

    /// A transaction's EIP-2718 bytes; none if it is unknown.
    #[method(name = "getRawTransaction")]
    async fn raw_transaction(&self, hash: B256) -> RpcResult<Option<Bytes>>;

    /// All transactions of a block, in EIP-2718 bytes.
    #[method(name = "getRawTransactions")]
    async fn raw_transactions(&self, block: BlockId) -> RpcResult<Vec<Bytes>>;

    /// All receipts of a block, in EIP-2718 bytes.
    #[method(name = "getRawReceipts")]
    async fn raw_receipts(&self, block: BlockId) -> RpcResult<Vec<Bytes>>;

    /// Invalid blocks that were seen, with their contents: none, for of those no more is kept than hash and fault.
    #[method(name = "getBadBlocks")]
    async fn bad_blocks(&self) -> RpcResult<Vec<serde_json::Value>>;

    /// The `config` section of the chain's genesis file.
    #[method(name = "chainConfig")]
    async fn chain_config(&self) -> RpcResult<serde_json::Value>;
}

/// The methods.
#[derive(Debug)]
pub(crate) struct DebugMethods(pub(crate) RpcContext);

#[async_trait]
impl DebugApiServer for DebugMethods {
    async fn trace_transaction(
        &self,
        hash: B256,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<GethTrace> {
        let options = options.unwrap_or_default();
        self.0.run(Lane::Trace, move |context| context.trace_transaction(hash, options)).await
    }

    async fn trace_call(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        options: Option<GethDebugTracingCallOptions>,
    ) -> RpcResult<GethTrace> {
        let options = options.unwrap_or_default();
        self.0.run(Lane::Trace, move |context| context.trace_call(request, block, options)).await
    }

    async fn trace_call_many(
        &self,
        bundles: Vec<Bundle>,
        place: Option<StateContext>,
        options: Option<GethDebugTracingCallOptions>,
    ) -> RpcResult<Vec<Vec<GethTrace>>> {
        let (place, options) = (place.unwrap_or_default(), options.unwrap_or_default());
        self.0.run(Lane::Trace, move |context| context.trace_call_many(bundles, place, options)).await
    }

    async fn trace_block_by_hash(
        &self,
        hash: B256,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<BlockTrace> {
        let options = options.unwrap_or_default();
        self.0.run(Lane::Trace, move |context| context.trace_block(BlockId::hash(hash), options)).await
    }

    async fn trace_block_by_number(
        &self,
        number: BlockNumberOrTag,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<BlockTrace> {
        let options = options.unwrap_or_default();
        self.0.run(Lane::Trace, move |context| context.trace_block(BlockId::Number(number), options)).await
    }

    async fn trace_given_block(
        &self,
        rlp: Bytes,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<BlockTrace> {
        let options = options.unwrap_or_default();
        self.0.run(Lane::Trace, move |context| context.trace_given_block(&rlp, options)).await
    }

    async fn execution_witness(&self, block: BlockId) -> RpcResult<Witness> {
        self.0.run(Lane::Trace, move |context| context.execution_witness(block)).await
    }

    async fn execution_witness_by_block_hash(&self, hash: B256) -> RpcResult<Witness> {
        self.execution_witness(BlockId::hash(hash)).await
    }

    async fn db_get(&self, key: Bytes) -> RpcResult<Option<Bytes>> {
        self.0.read(move |context| context.db_get(&key)).await
    }

    async fn code_by_hash(&self, hash: B256) -> RpcResult<Option<Bytes>> {
        self.0.read(move |context| context.code(hash)).await
    }

    async fn storage_range_at(
        &self,
        block: BlockId,
        index: usize,
        address: Address,
        start: Bytes,
        limit: u64,
    ) -> RpcResult<StorageRange> {
        self.0
            .run(Lane::Trace, move |context| context.storage_range(block, index, address, &start, limit))
            .await
    }

    async fn raw_header(&self, block: BlockId) -> RpcResult<Bytes> {
        self.0.read(move |context| context.raw_header(block)).await
    }

    async fn raw_block(&self, block: BlockId) -> RpcResult<Bytes> {
        self.0.read(move |context| context.raw_block(block)).await
    }

    async fn raw_transaction(&self, hash: B256) -> RpcResult<Option<Bytes>> {
        self.0.read(move |context| context.raw_transaction(hash)).await
    }

    async fn raw_transactions(&self, block: BlockId) -> RpcResult<Vec<Bytes>> {
        self.0.read(move |context| context.raw_transactions(block)).await
    }

    async fn raw_receipts(&self, block: BlockId) -> RpcResult<Vec<Bytes>> {
        self.0.read(move |context| context.raw_receipts(block)).await
    }

    async fn bad_blocks(&self) -> RpcResult<Vec<serde_json::Value>> {
        Ok(Vec::new())
    }

    async fn chain_config(&self) -> RpcResult<serde_json::Value> {
        self.0
            .read(|context| {
                serde_json::to_value(&context.spec.genesis().config).map_err(crate::RpcError::internal)
            })
            .await
    }
}
