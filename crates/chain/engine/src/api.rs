//! The methods and their parameters.

use alloy_primitives::{B256, Bytes, U64};
use alloy_rpc_types_engine::{
    ExecutionPayloadBodyV1, ForkchoiceState, ForkchoiceUpdated, PayloadId, PayloadStatus,
};
use jsonrpsee::{
    core::{RpcResult, async_trait},
    proc_macros::rpc,
    types::ErrorObjectOwned,
};
use serde_json::Value;

use crate::{ClientVersion, Engine, EngineError, NewPayload, PayloadEnvelope, Version, WirePayload};

/// What `engine_exchangeCapabilities` answers.
pub const CAPABILITIES: [&str; 15] = [
    "engine_forkchoiceUpdatedV1",
    "engine_forkchoiceUpdatedV2",
    "engine_forkchoiceUpdatedV3",
    "engine_getClientVersionV1",
    "engine_getPayloadBodiesByHashV1",
    "engine_getPayloadBodiesByRangeV1",
    "engine_getPayloadV1",
    "engine_getPayloadV2",
    "engine_getPayloadV3",
    "engine_getPayloadV4",
    "engine_getPayloadV5",
    "engine_newPayloadV1",
    "engine_newPayloadV2",
    "engine_newPayloadV3",
    "engine_newPayloadV4",
];

/// How a rollup node drives this chain. Attributes are read by hand, so that wrong ones get their own code.
#[rpc(server, namespace = "engine")]
pub trait EngineApi {
    /// Executes a block, before Canyon.
    #[method(name = "newPayloadV1")]
    async fn new_payload_v1(&self, payload: WirePayload) -> RpcResult<PayloadStatus>;

    /// Executes a block, before Ecotone.
    #[method(name = "newPayloadV2")]
    async fn new_payload_v2(&self, payload: WirePayload) -> RpcResult<PayloadStatus>;

    /// Executes a block, from Ecotone on.
    #[method(name = "newPayloadV3")]
    async fn new_payload_v3(
        &self,
        payload: WirePayload,
        versioned_hashes: Vec<B256>,
        parent_beacon_block_root: B256,
    ) -> RpcResult<PayloadStatus>;

    /// Executes a block, from Isthmus on.
    #[method(name = "newPayloadV4")]
    async fn new_payload_v4(
        &self,
        payload: WirePayload,
        versioned_hashes: Vec<B256>,
        parent_beacon_block_root: B256,
        execution_requests: Vec<Bytes>,
    ) -> RpcResult<PayloadStatus>;

    /// Moves head and labels; with attributes, begins a payload of before Canyon.
    #[method(name = "forkchoiceUpdatedV1")]
    async fn forkchoice_updated_v1(
        &self,
        state: ForkchoiceState,
        attributes: Option<Value>,
    ) -> RpcResult<ForkchoiceUpdated>;

    /// Moves head and labels; with attributes, begins a payload of before Ecotone.
    #[method(name = "forkchoiceUpdatedV2")]
    async fn forkchoice_updated_v2(
        &self,
        state: ForkchoiceState,
        attributes: Option<Value>,
    ) -> RpcResult<ForkchoiceUpdated>;

    /// Moves head and labels; with attributes, begins a payload of Ecotone or later.
    #[method(name = "forkchoiceUpdatedV3")]
    async fn forkchoice_updated_v3(
        &self,
        state: ForkchoiceState,
        attributes: Option<Value>,
    ) -> RpcResult<ForkchoiceUpdated>;

    /// A payload of before Canyon.
    #[method(name = "getPayloadV1")]
    async fn get_payload_v1(&self, id: PayloadId) -> RpcResult<PayloadEnvelope>;

    /// A payload of before Ecotone.
    #[method(name = "getPayloadV2")]
    async fn get_payload_v2(&self, id: PayloadId) -> RpcResult<PayloadEnvelope>;

    /// A payload of before Isthmus.
    #[method(name = "getPayloadV3")]
    async fn get_payload_v3(&self, id: PayloadId) -> RpcResult<PayloadEnvelope>;

    /// A payload of before Karst.
    #[method(name = "getPayloadV4")]
    async fn get_payload_v4(&self, id: PayloadId) -> RpcResult<PayloadEnvelope>;

    /// A payload of Karst or later.
    #[method(name = "getPayloadV5")]
    async fn get_payload_v5(&self, id: PayloadId) -> RpcResult<PayloadEnvelope>;

    /// Bodies of blocks, null for those that are not known.
    #[method(name = "getPayloadBodiesByHashV1")]
    async fn bodies_by_hash(&self, hashes: Vec<B256>) -> RpcResult<Vec<Option<ExecutionPayloadBodyV1>>>;

    /// Bodies of canonical blocks.
    #[method(name = "getPayloadBodiesByRangeV1")]
    async fn bodies_by_range(&self, start: U64, count: U64)
    -> RpcResult<Vec<Option<ExecutionPayloadBodyV1>>>;

    /// What this client can; what the other can is not asked.
    #[method(name = "exchangeCapabilities")]
    async fn exchange_capabilities(&self, theirs: Vec<String>) -> RpcResult<Vec<&'static str>>;

    /// Who this client is.
    #[method(name = "getClientVersionV1")]
    async fn client_version(&self, theirs: Option<Value>) -> RpcResult<Vec<ClientVersion>>;
}

impl Engine {
    /// Runs a call on a thread that may block.
    async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Self) -> Result<T, EngineError> + Send + 'static,
    ) -> RpcResult<T> {
        self.hear();
        let engine = self.clone();
        let answer = tokio::task::spawn_blocking(move || call(&engine)).await;
        answer.unwrap_or_else(|error| Err(EngineError::internal(error))).map_err(ErrorObjectOwned::from)
    }

    async fn execute(&self, payload: NewPayload) -> RpcResult<PayloadStatus> {
        self.run(move |engine| engine.new_payload(payload)).await
    }

    async fn update(
        &self,
        version: Version,
        state: ForkchoiceState,
        attributes: Option<Value>,
    ) -> RpcResult<ForkchoiceUpdated> {
        self.run(move |engine| engine.forkchoice_updated(version, state, attributes)).await
    }

    async fn payload(&self, version: Version, id: PayloadId) -> RpcResult<PayloadEnvelope> {
        self.run(move |engine| engine.get_payload(version, id)).await
    }
}

fn bare(version: Version, payload: WirePayload) -> NewPayload {
    NewPayload {
        version,
        payload,
        versioned_hashes: None,
        parent_beacon_block_root: None,
        execution_requests: None,
    }
}

#[async_trait]
impl EngineApiServer for Engine {
    async fn new_payload_v1(&self, payload: WirePayload) -> RpcResult<PayloadStatus> {
        self.execute(bare(Version::V1, payload)).await
    }

    async fn new_payload_v2(&self, payload: WirePayload) -> RpcResult<PayloadStatus> {
        self.execute(bare(Version::V2, payload)).await
    }

    async fn new_payload_v3(
        &self,
        payload: WirePayload,
        versioned_hashes: Vec<B256>,
        parent_beacon_block_root: B256,
    ) -> RpcResult<PayloadStatus> {
        self.execute(NewPayload {
            versioned_hashes: Some(versioned_hashes),
            parent_beacon_block_root: Some(parent_beacon_block_root),
            ..bare(Version::V3, payload)
        })
        .await
    }

    async fn new_payload_v4(
        &self,
        payload: WirePayload,
        versioned_hashes: Vec<B256>,
        parent_beacon_block_root: B256,
        execution_requests: Vec<Bytes>,
    ) -> RpcResult<PayloadStatus> {
        self.execute(NewPayload {
            versioned_hashes: Some(versioned_hashes),
            parent_beacon_block_root: Some(parent_beacon_block_root),
            execution_requests: Some(execution_requests),
            ..bare(Version::V4, payload)
        })
        .await
    }

    async fn forkchoice_updated_v1(
        &self,
        state: ForkchoiceState,
        attributes: Option<Value>,
    ) -> RpcResult<ForkchoiceUpdated> {
        self.update(Version::V1, state, attributes).await
    }

    async fn forkchoice_updated_v2(
        &self,
        state: ForkchoiceState,
        attributes: Option<Value>,
    ) -> RpcResult<ForkchoiceUpdated> {
        self.update(Version::V2, state, attributes).await
    }

    async fn forkchoice_updated_v3(
        &self,
        state: ForkchoiceState,
        attributes: Option<Value>,
    ) -> RpcResult<ForkchoiceUpdated> {
        self.update(Version::V3, state, attributes).await
    }

    async fn get_payload_v1(&self, id: PayloadId) -> RpcResult<PayloadEnvelope> {
        self.payload(Version::V1, id).await
    }

    async fn get_payload_v2(&self, id: PayloadId) -> RpcResult<PayloadEnvelope> {
        self.payload(Version::V2, id).await
    }

    async fn get_payload_v3(&self, id: PayloadId) -> RpcResult<PayloadEnvelope> {
        self.payload(Version::V3, id).await
    }

    async fn get_payload_v4(&self, id: PayloadId) -> RpcResult<PayloadEnvelope> {
        self.payload(Version::V4, id).await
    }

    async fn get_payload_v5(&self, id: PayloadId) -> RpcResult<PayloadEnvelope> {
        self.payload(Version::V5, id).await
    }

    async fn bodies_by_hash(&self, hashes: Vec<B256>) -> RpcResult<Vec<Option<ExecutionPayloadBodyV1>>> {
        self.run(move |engine| Engine::bodies_by_hash(engine, &hashes)).await
    }

    async fn bodies_by_range(
        &self,
        start: U64,
        count: U64,
    ) -> RpcResult<Vec<Option<ExecutionPayloadBodyV1>>> {
        self.run(move |engine| Engine::bodies_by_range(engine, start.to(), count.to())).await
    }

    async fn exchange_capabilities(&self, _theirs: Vec<String>) -> RpcResult<Vec<&'static str>> {
        Ok(CAPABILITIES.to_vec())
    }

    async fn client_version(&self, _theirs: Option<Value>) -> RpcResult<Vec<ClientVersion>> {
        Ok(vec![self.client().clone()])
    }
}
