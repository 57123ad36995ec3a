//! The executor's proof: 46 blocks that op-node had op-reth 1.10.2 make, across the activations of Isthmus and Jovian,
//! with mints, creations, failing deposits and every type of transaction.

use std::{collections::HashMap, fs, io::Read, path::PathBuf, sync::Arc};

use alloy_consensus::transaction::{Recovered, SignerRecoverable};
use alloy_eips::{Decodable2718, Encodable2718};
use alloy_primitives::{B64, B256};
use alloy_rpc_types_engine::{CancunPayloadFields, ExecutionPayloadV3, PraguePayloadFields};
use op_alloy_rpc_types_engine::{
    OpExecutionPayload, OpExecutionPayloadSidecar, OpExecutionPayloadV4, OpPayloadAttributes,
};
use serde_json::Value;
use tributary_evm::{BuildAttributes, DaCaps};
use tributary_spec::{Block, ChainSpec, RecoveredBlock, Tx};

use crate::chain::{Offer, TestChain};

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../testdata/opstack").join(name)
}

fn recorded_spec() -> Arc<ChainSpec> {
    let file = fs::File::open(testdata("genesis-isthmus-jovian.json.gz")).unwrap();
    let mut json = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut json).unwrap();
    Arc::new(ChainSpec::from_json(&json).unwrap())
}

fn recorded_calls() -> Vec<Value> {
    let file = fs::read(testdata("engine-isthmus-jovian.jsonl.zst")).unwrap();
    let mut text = String::new();
    ruzstd::decoding::StreamingDecoder::new(file.as_slice()).unwrap().read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A block as `engine_newPayload` brought it, with the hash the answer called valid.
fn new_payload(call: &Value) -> Option<(Block, B256)> {
    let params = &call["params"];
    let cancun = || CancunPayloadFields::new(serde_json::from_value(params[2].clone()).unwrap(), Vec::new());
    let (payload, sidecar) = match call["method"].as_str()? {
        "engine_newPayloadV3" => {
            let payload: ExecutionPayloadV3 = serde_json::from_value(params[0].clone()).unwrap();
            (OpExecutionPayload::V3(payload), OpExecutionPayloadSidecar::v3(cancun()))
        }
        "engine_newPayloadV4" => {
            let payload: OpExecutionPayloadV4 = serde_json::from_value(params[0].clone()).unwrap();
            let prague = PraguePayloadFields::default();
            (OpExecutionPayload::V4(payload), OpExecutionPayloadSidecar::v4(cancun(), prague))
        }
        _ => return None,
    };
    let hash = serde_json::from_value(call["result"]["latestValidHash"].clone()).unwrap();
    Some((payload.try_into_block_with_sidecar(&sidecar).unwrap(), hash))
}

fn attributes(call: &Value) -> Option<OpPayloadAttributes> {
    if call["method"] != "engine_forkchoiceUpdatedV3" || call["params"][1].is_null() {
        return None;
    }
    Some(serde_json::from_value(call["params"][1].clone()).unwrap())
}

fn decode(bytes: &[u8]) -> Recovered<Tx> {
    Tx::decode_2718_exact(bytes).unwrap().try_into_recovered().unwrap()
}

fn build_attributes(wire: OpPayloadAttributes) -> BuildAttributes {
    let inner = wire.payload_attributes;
    BuildAttributes {
        timestamp: inner.timestamp,
        prev_randao: inner.prev_randao,
        fee_recipient: inner.suggested_fee_recipient,
        parent_beacon_block_root: inner.parent_beacon_block_root,
        gas_limit: wire.gas_limit.unwrap(),
        eip1559_params: wire.eip_1559_params.map(|params| B64::from(params.0)),
        min_base_fee: wire.min_base_fee,
        transactions: wire.transactions.unwrap_or_default().iter().map(|tx| decode(tx)).collect(),
        no_tx_pool: wire.no_tx_pool.unwrap_or_default(),
        da_caps: DaCaps::default(),
        max_bytes: None,
    }
}

#[test]
fn all_46_recorded_blocks_have_equal_hashes_imported_and_rebuilt() {
    let mut chain = TestChain::new(recorded_spec());
    let mut pending = None;
    let mut imported = 0;
    for call in recorded_calls() {
        if let Some(attributes) = attributes(&call) {
            pending = Some(build_attributes(attributes));
        }
        let Some((block, hash)) = new_payload(&call) else { continue };
        let number = block.header.number;
        let block = RecoveredBlock::recover(block).unwrap();
        assert_eq!(block.hash(), hash, "block {number}: the payload is not the recorded one");

        let executed = chain.import(block.clone()).unwrap_or_else(|error| panic!("block {number}: {error}"));
        assert_eq!(executed.block.hash(), hash);

        let attributes = pending.take().expect("each payload was asked for");
        let offered = block.recovered().skip(attributes.transactions.len()).map(|tx| tx.cloned());
        let mut offer = Offer::new(offered);
        let built = chain.build(attributes, &mut offer).unwrap().executed;
        assert_eq!(built.block.header().inner(), block.header().inner(), "block {number}, rebuilt");
        assert_eq!(built.block.hash(), hash);
        assert_eq!(built.receipts, executed.receipts);
        assert_eq!(built.hashed, executed.hashed);
        assert!(offer.rejected.is_empty() && offer.txs.is_empty());

        chain.advance(&executed);
        imported += 1;
    }
    assert_eq!(imported, 46);
}

/// The same blocks where there is no state: each from its witness alone.
#[test]
fn all_46_recorded_blocks_have_equal_hashes_from_their_witnesses() {
    let mut chain = TestChain::new(recorded_spec());
    let mut headers = HashMap::new();
    for (block, hash) in recorded_calls().iter().filter_map(new_payload) {
        let block = RecoveredBlock::recover(block).unwrap();
        headers.insert(chain.head.hash(), chain.head.inner().clone());
        let ancestors = |hash| headers.get(&hash).cloned();
        let witness = chain.executor.witness(&chain.head, block.clone(), chain.state(), &ancestors).unwrap();
        let executed = chain.executor.execute_stateless(block, &witness).unwrap();
        assert_eq!(executed.block.hash(), hash);
        chain.advance(&executed);
    }
    assert_eq!(headers.len(), 46);
}

#[test]
fn the_recorded_genesis_has_the_hash_op_node_expects() {
    let rollup: Value =
        serde_json::from_slice(&fs::read(testdata("rollup-isthmus-jovian.json")).unwrap()).unwrap();
    let expected: B256 = serde_json::from_value(rollup["genesis"]["l2"]["hash"].clone()).unwrap();
    assert_eq!(recorded_spec().genesis_hash(), expected);
}

#[test]
fn every_recorded_transaction_encodes_to_what_it_was_decoded_from() {
    for call in recorded_calls() {
        let Some((block, _)) = new_payload(&call) else { continue };
        let wire: Vec<alloy_primitives::Bytes> =
            serde_json::from_value(call["params"][0]["transactions"].clone()).unwrap();
        for (tx, bytes) in block.body.transactions.iter().zip(wire) {
            assert_eq!(tx.encoded_2718(), bytes);
        }
    }
}
