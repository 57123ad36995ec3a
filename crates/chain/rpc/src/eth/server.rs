//! The methods, each handed to where the work is done.

use crate::{
    RpcBlock, RpcContext, RpcReceipt, RpcTransaction,
    blocking::Lane,
    eth::{CallRequest, EthApiServer},
};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_rpc_types_eth::{
    AccessListResult, BlockOverrides, EIP1186AccountProofResponse, FeeHistory, Index, SyncStatus,
    TransactionRequest,
    simulate::{SimulatePayload, SimulatedBlock},
    state::StateOverride,
};
use alloy_serde::JsonStorageKey;
use jsonrpsee::core::{RpcResult, async_trait};

/// The methods.
#[derive(Debug)]
pub(crate) struct EthMethods(pub(crate) RpcContext);

#[async_trait]
impl EthApiServer for EthMethods {
    async fn chain_id(&self) -> RpcResult<Option<U64>> {
        Ok(Some(U64::from(self.0.spec.chain_id())))
    }

    async fn block_number(&self) -> RpcResult<U256> {
        Ok(U256::from(self.0.chain.head().number))
    }

    async fn syncing(&self) -> RpcResult<SyncStatus> {
        Ok(SyncStatus::None)
    }

    async fn accounts(&self) -> RpcResult<Vec<Address>> {
        Ok(Vec::new())
    }

    async fn gas_price(&self) -> RpcResult<U256> {
        self.0.read(|context| context.suggested_gas_price().map(U256::from)).await
    }

    async fn max_priority_fee_per_gas(&self) -> RpcResult<U256> {
        self.0.read(|context| context.suggested_tip().map(U256::from)).await
    }

    async fn blob_base_fee(&self) -> RpcResult<U256> {
        Ok(U256::ONE)
    }

    async fn fee_history(
        &self,
        block_count: U64,
        newest_block: BlockNumberOrTag,
        reward_percentiles: Option<Vec<f64>>,
    ) -> RpcResult<FeeHistory> {
        self.0
            .read(move |context| context.fee_history(block_count.to(), newest_block, reward_percentiles))
            .await
    }

    async fn balance(&self, address: Address, block: Option<BlockId>) -> RpcResult<U256> {
        self.0.read(move |context| context.balance_of(address, block)).await
    }

    async fn get_code(&self, address: Address, block: Option<BlockId>) -> RpcResult<Bytes> {
        self.0.read(move |context| context.code_of(address, block)).await
    }

    async fn storage_at(
        &self,
        address: Address,
        slot: JsonStorageKey,
        block: Option<BlockId>,
    ) -> RpcResult<B256> {
        self.0.read(move |context| context.slot_of(address, slot.as_b256(), block)).await
    }

    async fn transaction_count(&self, address: Address, block: Option<BlockId>) -> RpcResult<U256> {
        self.0.read(move |context| context.nonce_of(address, block).map(U256::from)).await
    }

    async fn get_proof(
        &self,
        address: Address,
        slots: Vec<JsonStorageKey>,
        block: Option<BlockId>,
    ) -> RpcResult<EIP1186AccountProofResponse> {
        self.0.read(move |context| context.proof_of(address, slots, block)).await
    }

    async fn block_by_hash(&self, hash: B256, full: Option<bool>) -> RpcResult<Option<RpcBlock>> {
        self.0.read(move |context| context.rpc_block(BlockId::hash(hash), full.unwrap_or_default())).await
    }

    async fn block_by_number(
        &self,
        number: BlockNumberOrTag,
        full: Option<bool>,
    ) -> RpcResult<Option<RpcBlock>> {
        self.0.read(move |context| context.rpc_block(BlockId::Number(number), full.unwrap_or_default())).await
    }

    async fn header_by_hash(&self, hash: B256) -> RpcResult<Option<crate::RpcHeader>> {
        self.0.read(move |context| context.rpc_header(BlockId::hash(hash))).await
    }

    async fn header_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<crate::RpcHeader>> {
        self.0.read(move |context| context.rpc_header(BlockId::Number(number))).await
    }

    async fn block_transaction_count_by_hash(&self, hash: B256) -> RpcResult<Option<U256>> {
        let count = self.0.read(move |context| context.transaction_count_of(BlockId::hash(hash))).await?;
        Ok(count.map(U256::from))
    }

    async fn block_transaction_count_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<U256>> {
        let count = self.0.read(move |context| context.transaction_count_of(BlockId::Number(number))).await?;
        Ok(count.map(U256::from))
    }

    async fn uncle_count_by_hash(&self, hash: B256) -> RpcResult<Option<U256>> {
        let header = self.0.read(move |context| context.header(BlockId::hash(hash))).await?;
        Ok(header.map(|_| U256::ZERO))
    }

    async fn uncle_count_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<U256>> {
        let header = self.0.read(move |context| context.header(BlockId::Number(number))).await?;
        Ok(header.map(|_| U256::ZERO))
    }

    async fn block_receipts(&self, block: BlockId) -> RpcResult<Option<Vec<RpcReceipt>>> {
        self.0.read(move |context| context.rpc_receipts(block)).await
    }

    async fn transaction_by_hash(&self, hash: B256) -> RpcResult<Option<RpcTransaction>> {
        self.0.read(move |context| context.rpc_transaction(hash)).await
    }

    async fn transaction_by_block_hash_and_index(
        &self,
        hash: B256,
        index: Index,
    ) -> RpcResult<Option<RpcTransaction>> {
        self.0.read(move |context| context.rpc_transaction_in(BlockId::hash(hash), index.0)).await
    }

    async fn transaction_by_block_number_and_index(
        &self,
        number: BlockNumberOrTag,
        index: Index,
    ) -> RpcResult<Option<RpcTransaction>> {
        self.0.read(move |context| context.rpc_transaction_in(BlockId::Number(number), index.0)).await
    }

    async fn raw_transaction_by_hash(&self, hash: B256) -> RpcResult<Option<Bytes>> {
        self.0.read(move |context| context.raw_transaction(hash)).await
    }

    async fn transaction_receipt(&self, hash: B256) -> RpcResult<Option<RpcReceipt>> {
        self.0.read(move |context| context.rpc_receipt(hash)).await
    }

    async fn send_raw_transaction(&self, bytes: Bytes) -> RpcResult<B256> {
        Ok(self.0.submit(bytes).await?)
    }

    async fn send_raw_transaction_sync(&self, bytes: Bytes, timeout: Option<u64>) -> RpcResult<RpcReceipt> {
        Ok(self.0.send_sync(bytes, timeout).await?)
    }

    async fn call(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        state_overrides: Option<StateOverride>,
        block_overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<Bytes> {
        let call = CallRequest::new(request, block, state_overrides, block_overrides);
        self.0.run(Lane::Call, move |context| context.call(call)).await
    }

    async fn estimate_gas(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        state_overrides: Option<StateOverride>,
        block_overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<U256> {
        let call = CallRequest::new(request, block, state_overrides, block_overrides);
        self.0.run(Lane::Call, move |context| context.estimate(call).map(U256::from)).await
    }

    async fn simulate_v1(
        &self,
        payload: SimulatePayload,
        block: Option<BlockId>,
    ) -> RpcResult<Vec<SimulatedBlock<RpcBlock>>> {
        self.0.run(Lane::Call, move |context| context.simulate(payload, block)).await
    }

    async fn create_access_list(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        state_overrides: Option<StateOverride>,
    ) -> RpcResult<AccessListResult> {
        let call = CallRequest::new(request, block, state_overrides, None);
        self.0.run(Lane::Call, move |context| context.access_list(call)).await
    }
}
