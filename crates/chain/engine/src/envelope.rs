//! Payloads that go out.

use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::U256;
use alloy_rpc_types_engine::{
    BlobsBundleV1, ExecutionPayloadEnvelopeV2, ExecutionPayloadFieldV2, ExecutionPayloadV1,
    ExecutionPayloadV3,
};
use op_alloy_rpc_types_engine::{
    OpExecutionPayloadEnvelopeV3, OpExecutionPayloadEnvelopeV4, OpExecutionPayloadV4,
};
use serde::Serialize;
use tributary_spec::RecoveredBlock;

use crate::Version;

/// The answer of `engine_getPayload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PayloadEnvelope {
    /// The payload alone.
    V1(ExecutionPayloadV1),
    /// With withdrawals from Canyon on.
    V2(ExecutionPayloadEnvelopeV2),
    /// With an empty bundle of blobs and the parent's beacon block root.
    V3(OpExecutionPayloadEnvelopeV3),
    /// With the withdrawals root and an empty list of requests; V5 is of the same shape.
    V4(OpExecutionPayloadEnvelopeV4),
}

impl PayloadEnvelope {
    /// The block in the shape of a version that suits its fork.
    pub(crate) fn new(version: Version, block: &RecoveredBlock, block_value: U256) -> Self {
        let hash = block.hash();
        let root = block.header().parent_beacon_block_root.unwrap_or_default();
        let withdrawals_root = block.header().withdrawals_root.unwrap_or_default();
        let block = block.to_block();
        match version {
            Version::V1 => Self::V1(ExecutionPayloadV1::from_block_unchecked(hash, &block)),
            Version::V2 => Self::V2(ExecutionPayloadEnvelopeV2 {
                execution_payload: ExecutionPayloadFieldV2::from_block_unchecked(hash, &block),
                block_value,
            }),
            Version::V3 => Self::V3(OpExecutionPayloadEnvelopeV3 {
                execution_payload: ExecutionPayloadV3::from_block_unchecked(hash, &block),
                block_value,
                blobs_bundle: BlobsBundleV1::empty(),
                should_override_builder: false,
                parent_beacon_block_root: root,
            }),
            Version::V4 | Version::V5 => {
                debug_assert_eq!(block.header.requests_hash, Some(EMPTY_REQUESTS_HASH));
                Self::V4(OpExecutionPayloadEnvelopeV4 {
                    execution_payload: OpExecutionPayloadV4::from_v3_with_withdrawals_root(
                        ExecutionPayloadV3::from_block_unchecked(hash, &block),
                        withdrawals_root,
                    ),
                    block_value,
                    blobs_bundle: BlobsBundleV1::empty(),
                    should_override_builder: false,
                    parent_beacon_block_root: root,
                    execution_requests: Vec::new(),
                })
            }
        }
    }
}
