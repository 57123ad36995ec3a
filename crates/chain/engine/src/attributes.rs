//! Payload attributes that come in. Every fault is `-38003`: op-node drops the attributes then, and repeats them for ever
//! after any `-32xxx`.

use alloy_consensus::transaction::{Recovered, SignerRecoverable};
use alloy_eips::Typed2718;
use alloy_primitives::{B64, Bytes};
use op_alloy_consensus::OpTxType;
use op_alloy_rpc_types_engine::OpPayloadAttributes;
use serde_json::Value;
use tributary_evm::{BuildAttributes, DaCaps};
use tributary_spec::{ChainSpec, OpHardfork, Tx};

use crate::{EngineError, Version, payload::decode_transaction, version::Method};

/// Reads the JSON.
pub(crate) fn parse(json: Value) -> Result<OpPayloadAttributes, EngineError> {
    serde_json::from_value(json).map_err(|error| EngineError::Attributes(error.to_string()))
}

/// The version against the fork, and withdrawals and beacon root against the version.
pub(crate) fn check_version(
    attributes: &OpPayloadAttributes,
    version: Version,
    spec: &ChainSpec,
) -> Result<(), EngineError> {
    let inner = &attributes.payload_attributes;
    let wrong = |what: &str| Err(EngineError::Attributes(format!("{what} in version {version}")));
    match (version, inner.parent_beacon_block_root) {
        (Version::V1 | Version::V2, Some(_)) => return wrong("parentBeaconBlockRoot"),
        (version, None) if version >= Version::V3 => return wrong("no parentBeaconBlockRoot"),
        _ => {}
    }
    Method::Attributes.check(version, spec, inner.timestamp)?;
    let canyon = spec.forks().active(OpHardfork::Canyon, inner.timestamp);
    match &inner.withdrawals {
        None if canyon => {
            Err(EngineError::Attributes("withdrawals are missing, and Canyon is active".to_owned()))
        }
        Some(_) if !canyon => Err(EngineError::Attributes("withdrawals before Canyon".to_owned())),
        Some(list) if !list.is_empty() => {
            Err(EngineError::Attributes("withdrawals are not empty".to_owned()))
        }
        _ => Ok(()),
    }
}

/// What the builder is told. Forks and parent are checked there.
pub(crate) fn decode(attributes: OpPayloadAttributes) -> Result<BuildAttributes, EngineError> {
    let inner = attributes.payload_attributes;
    let gas_limit =
        attributes.gas_limit.ok_or_else(|| EngineError::Attributes("gasLimit is missing".to_owned()))?;
    let transactions = attributes.transactions.unwrap_or_default();
    Ok(BuildAttributes {
        timestamp: inner.timestamp,
        prev_randao: inner.prev_randao,
        fee_recipient: inner.suggested_fee_recipient,
        parent_beacon_block_root: inner.parent_beacon_block_root,
        gas_limit,
        eip1559_params: attributes.eip_1559_params.map(|params| B64::from(params.0)),
        min_base_fee: attributes.min_base_fee,
        transactions: recover(&transactions)?,
        no_tx_pool: attributes.no_tx_pool.unwrap_or_default(),
        // The builder has the batcher's.
        da_caps: DaCaps::default(),
        max_bytes: None,
    })
}

fn recover(transactions: &[Bytes]) -> Result<Vec<Recovered<Tx>>, EngineError> {
    transactions
        .iter()
        .enumerate()
        .map(|(index, bytes)| {
            let fault = |why: String| EngineError::Attributes(format!("transaction {index}: {why}"));
            let tx = decode_transaction(bytes).map_err(fault)?;
            if tx.tx_type() == OpTxType::PostExec {
                return Err(fault(format!("type {:#04x} is not supported", tx.ty())));
            }
            tx.try_into_recovered().map_err(|error| fault(error.to_string()))
        })
        .collect()
}
