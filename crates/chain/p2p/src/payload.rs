//! Blocks as op-nodes exchange them: SSZ, from Ecotone on behind the parent's beacon block root.

use alloy_primitives::B256;
use alloy_rpc_types_engine::{ExecutionPayloadV1, ExecutionPayloadV2, ExecutionPayloadV3};
use op_alloy_rpc_types_engine::OpExecutionPayloadV4;
use ssz::{Decode, Encode};
use tributary_engine_api::{NewPayload, WirePayload};
use tributary_spec::{ChainSpec, OpHardfork, RecoveredBlock};

/// Most bytes of a payload, compressed or not.
pub(crate) const MAX_PAYLOAD: usize = 10 << 20;
/// Where the offset of `extraData` is; it points to the end of the fixed part, which differs by version.
const FIRST_OFFSET: usize = 436;
const ROOT: usize = 32;

/// The shapes of payloads: what a gossip topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Shape {
    /// Before Canyon.
    V1,
    /// Canyon: withdrawals.
    V2,
    /// Ecotone: blob gas, and the beacon block root in front.
    V3,
    /// Isthmus and all later: the withdrawals root.
    V4,
}

impl Shape {
    pub(crate) const ALL: [Self; 4] = [Self::V1, Self::V2, Self::V3, Self::V4];

    /// What a block of this time looks like.
    pub(crate) fn at(spec: &ChainSpec, timestamp: u64) -> Self {
        let active = |fork| spec.forks().active(fork, timestamp);
        if active(OpHardfork::Isthmus) {
            Self::V4
        } else if active(OpHardfork::Ecotone) {
            Self::V3
        } else if active(OpHardfork::Canyon) {
            Self::V2
        } else {
            Self::V1
        }
    }

    /// Whether the beacon block root goes in front.
    pub(crate) fn has_root(self) -> bool {
        self >= Self::V3
    }

    const fn fixed_part(self) -> u32 {
        match self {
            Self::V1 => 508,
            Self::V2 => 512,
            Self::V3 => 528,
            Self::V4 => 560,
        }
    }

    fn of(payload: &[u8]) -> Option<Self> {
        let offset = payload.get(FIRST_OFFSET..FIRST_OFFSET + 4)?;
        let offset = u32::from_le_bytes(offset.try_into().ok()?);
        Self::ALL.into_iter().find(|shape| shape.fixed_part() == offset)
    }
}

/// The bytes of a block.
pub(crate) fn encode(spec: &ChainSpec, block: &RecoveredBlock) -> Vec<u8> {
    let (hash, header) = (block.hash(), block.header());
    let root = header.parent_beacon_block_root.unwrap_or_default();
    let withdrawals_root = header.withdrawals_root.unwrap_or_default();
    let plain = block.to_block();
    let mut bytes = Vec::new();
    match Shape::at(spec, header.timestamp) {
        Shape::V1 => ExecutionPayloadV1::from_block_unchecked(hash, &plain).ssz_append(&mut bytes),
        Shape::V2 => ExecutionPayloadV2::from_block_unchecked(hash, &plain).ssz_append(&mut bytes),
        Shape::V3 => {
            bytes.extend(root);
            ExecutionPayloadV3::from_block_unchecked(hash, &plain).ssz_append(&mut bytes);
        }
        Shape::V4 => {
            bytes.extend(root);
            let payload = ExecutionPayloadV3::from_block_unchecked(hash, &plain);
            OpExecutionPayloadV4::from_v3_with_withdrawals_root(payload, withdrawals_root)
                .ssz_append(&mut bytes);
        }
    }
    bytes
}

/// Reads a block, with or without the root in front. What it says of itself is not checked.
pub(crate) fn decode(spec: &ChainSpec, with_root: bool, bytes: &[u8]) -> Result<(Shape, NewPayload), String> {
    if bytes.len() > MAX_PAYLOAD {
        return Err(format!("{} bytes", bytes.len()));
    }
    let (root, bytes) = if with_root {
        let (root, rest) = bytes.split_at_checked(ROOT).ok_or("shorter than a root")?;
        (Some(B256::from_slice(root)), rest)
    } else {
        (None, bytes)
    };
    let shape = Shape::of(bytes).ok_or("a payload of no known shape")?;
    if shape.has_root() != with_root {
        return Err(format!(
            "{shape:?} payload {} a beacon block root",
            if with_root { "with" } else { "without" }
        ));
    }
    let malformed = |error: ssz::DecodeError| format!("malformed: {error:?}");
    let payload = match shape {
        Shape::V1 => v1(ExecutionPayloadV1::from_ssz_bytes(bytes).map_err(malformed)?),
        Shape::V2 => v2(ExecutionPayloadV2::from_ssz_bytes(bytes).map_err(malformed)?),
        Shape::V3 => v3(ExecutionPayloadV3::from_ssz_bytes(bytes).map_err(malformed)?),
        Shape::V4 => {
            let v4 = OpExecutionPayloadV4::from_ssz_bytes(bytes).map_err(malformed)?;
            WirePayload { withdrawals_root: Some(v4.withdrawals_root), ..v3(v4.payload_inner) }
        }
    };
    let payload = NewPayload {
        version: NewPayload::version_at(spec, payload.timestamp),
        payload,
        versioned_hashes: shape.has_root().then(Vec::new),
        parent_beacon_block_root: root,
        execution_requests: (shape == Shape::V4).then(Vec::new),
    };
    Ok((shape, payload))
}

fn v1(payload: ExecutionPayloadV1) -> WirePayload {
    WirePayload {
        parent_hash: payload.parent_hash,
        fee_recipient: payload.fee_recipient,
        state_root: payload.state_root,
        receipts_root: payload.receipts_root,
        logs_bloom: payload.logs_bloom,
        prev_randao: payload.prev_randao,
        block_number: payload.block_number,
        gas_limit: payload.gas_limit,
        gas_used: payload.gas_used,
        timestamp: payload.timestamp,
        extra_data: payload.extra_data,
        base_fee_per_gas: payload.base_fee_per_gas,
        block_hash: payload.block_hash,
        transactions: payload.transactions,
        ..WirePayload::default()
    }
}

fn v2(payload: ExecutionPayloadV2) -> WirePayload {
    WirePayload { withdrawals: Some(payload.withdrawals), ..v1(payload.payload_inner) }
}

fn v3(payload: ExecutionPayloadV3) -> WirePayload {
    WirePayload {
        blob_gas_used: Some(payload.blob_gas_used),
        excess_blob_gas: Some(payload.excess_blob_gas),
        ..v2(payload.payload_inner)
    }
}
