//! What blocks can be made of. Whatever is wrong is `-38003` (or `-38005`), and never one of `-32xxx`.

use alloy_primitives::{B256, Bytes};
use serde_json::{Value, json};

use crate::node::{Node, deposit, hash_of, raw, sign, state};

fn with(mut attributes: Value, key: &str, value: Value) -> Value {
    attributes[key] = value;
    attributes
}

fn without(mut attributes: Value, key: &str) -> Value {
    attributes.as_object_mut().unwrap().remove(key);
    attributes
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_attributes_are_38003_and_the_head_moves_all_the_same() {
    let node = Node::start().await;
    let first = node.advance().await;
    let genesis = node.spec.genesis_header().clone();
    let good = node.attributes(&genesis);
    let blob = Bytes::from_static(&[3, 0xc0]);
    let faulty = [
        json!({}),
        json!([]),
        json!("attributes"),
        without(good.clone(), "timestamp"),
        without(good.clone(), "gasLimit"),
        without(good.clone(), "eip1559Params"),
        without(good.clone(), "minBaseFee"),
        without(good.clone(), "withdrawals"),
        without(good.clone(), "parentBeaconBlockRoot"),
        with(good.clone(), "timestamp", json!(format!("{:#x}", genesis.timestamp))),
        with(good.clone(), "timestamp", json!("soon")),
        with(good.clone(), "gasLimit", json!("0xffffffffffffffff")),
        with(good.clone(), "minBaseFee", json!(-1)),
        with(good.clone(), "eip1559Params", json!("0x0000000000000006")),
        with(good.clone(), "eip1559Params", json!("0x0000000600000000")),
        with(good.clone(), "eip1559Params", json!("0x00")),
        with(good.clone(), "transactions", json!(["0x"])),
        with(good.clone(), "transactions", json!(["0x7ec0"])),
        with(good.clone(), "transactions", json!(["0x7dc0"])),
        with(good.clone(), "transactions", json!([blob])),
        with(good.clone(), "transactions", json!([format!("{}00", raw(&deposit(1)))])),
        with(
            good.clone(),
            "withdrawals",
            json!([{ "index": "0x0", "validatorIndex": "0x0", "address": "0x0000000000000000000000000000000000000000", "amount": "0x1" }]),
        ),
    ];
    for attributes in faulty {
        node.choose(hash_of(&first)).await;
        let state = state(genesis.hash(), B256::ZERO, B256::ZERO);
        let refused = node.call("engine_forkchoiceUpdatedV3", json!([state, attributes])).await;
        assert_eq!(refused.as_ref().unwrap_err().0, -38003, "{attributes}: {refused:?}");
        assert_eq!(node.chain.head().hash(), genesis.hash());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_another_fork_is_38005_and_one_of_another_shape_is_38003() {
    let node = Node::start().await;
    let head = node.chain.head();
    let attributes = node.attributes(&head);
    let state = state(head.hash(), B256::ZERO, B256::ZERO);
    for version in ["engine_forkchoiceUpdatedV1", "engine_forkchoiceUpdatedV2"] {
        let refused = node.call(version, json!([state, attributes])).await.unwrap_err();
        assert_eq!(refused.0, -38003, "{refused:?}");
        let old = without(attributes.clone(), "parentBeaconBlockRoot");
        assert_eq!(node.call(version, json!([state, old])).await.unwrap_err().0, -38005);
        // Without attributes every version is right at every fork.
        assert_eq!(node.ask(version, json!([state])).await["payloadStatus"]["status"], "VALID");
        assert_eq!(node.ask(version, json!([state, null])).await["payloadId"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_transaction_that_cannot_run_is_fatal() {
    let node = Node::start().await;
    let attributes = node.attributes(&node.chain.head());
    let mut transactions = attributes["transactions"].as_array().unwrap().clone();
    transactions.push(json!(raw(&node.transfer(7))));
    for no_tx_pool in [true, false] {
        let attributes = with(attributes.clone(), "transactions", json!(transactions));
        let refused = node.begin(with(attributes, "noTxPool", json!(no_tx_pool))).await.unwrap_err();
        assert_eq!(refused.0, -38003);
        assert!(refused.1.contains("forced transaction 1"), "{refused:?}");
    }
    let other_chain =
        sign(alloy_consensus::TxEip1559 { chain_id: 1, gas_limit: 21_000, ..Default::default() });
    let attributes = with(attributes, "transactions", json!([raw(&deposit(1)), raw(&other_chain)]));
    assert_eq!(node.begin(attributes).await.unwrap_err().0, -38003);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_pool_only_forced_transactions_are_in_the_block() {
    let node = Node::start().await;
    node.send(&node.transfer(0));
    let head = node.chain.head();
    let closed = with(node.attributes(&head), "noTxPool", json!(true));
    let envelope = node.build_on(head.hash(), closed).await;
    assert_eq!(envelope["executionPayload"]["transactions"].as_array().unwrap().len(), 1);
    assert_eq!(envelope["blockValue"], "0x0");
    let open = node.build_on(head.hash(), node.attributes(&head)).await;
    assert_eq!(open["executionPayload"]["transactions"].as_array().unwrap().len(), 2);
    assert_ne!(open["blockValue"], "0x0");
    assert_eq!(open["executionRequests"], json!([]));
    assert_eq!(open["shouldOverrideBuilder"], false);
}
