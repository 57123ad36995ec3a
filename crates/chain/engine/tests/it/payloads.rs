//! Payloads out and in: versions, shapes, and blocks that are invalid.

use alloy_primitives::B256;
use serde_json::{Value, json};

use crate::node::{Node, forged, hash_of, payload_params, raw, with_high_s};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_gives_the_same_block_and_the_wrong_version_ends_nothing() {
    let node = Node::start().await;
    let head = node.chain.head();
    let begun = node.begin(node.attributes(&head)).await.unwrap();
    let id = &begun["payloadId"];
    for version in ["V1", "V2", "V3", "V4"] {
        let refused = node.call(&format!("engine_getPayload{version}"), json!([id])).await.unwrap_err();
        assert_eq!(refused.0, -38005, "{refused:?}");
    }
    assert_eq!(node.begin(node.attributes(&head)).await.unwrap()["payloadId"], *id);
    let first = node.ask("engine_getPayloadV5", json!([id])).await;
    assert_eq!(node.ask("engine_getPayloadV5", json!([id])).await, first);
    assert_eq!(node.call("engine_getPayloadV5", json!(["0x0300000000000001"])).await.unwrap_err().0, -38001);
    assert_eq!(node.call("engine_getPayloadV5", json!(["0x03"])).await.unwrap_err().0, -32602);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_built_here_is_not_executed_again() {
    let node = Node::start().await;
    for nonce in 0..16 {
        node.send(&node.transfer(nonce));
    }
    let head = node.chain.head();
    let envelope = node.build_on(head.hash(), node.attributes(&head)).await;
    assert_eq!(envelope["executionPayload"]["transactions"].as_array().unwrap().len(), 17);
    assert!(
        node.chain.header_by_hash(hash_of(&envelope)).unwrap().is_some(),
        "in the tree before it comes back"
    );
    assert_eq!(node.new_payload(&envelope).await["latestValidHash"], json!(hash_of(&envelope)));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_shapes_of_new_payload() {
    let node = Node::start().await;
    let head = node.chain.head();
    let envelope = node.build_on(head.hash(), node.attributes(&head)).await;
    let good = payload_params(&envelope);
    let payload = &good[0];
    let root = &good[2];
    for (method, params) in [
        ("engine_newPayloadV1", json!([payload])),
        ("engine_newPayloadV2", json!([payload])),
        ("engine_newPayloadV3", json!([payload, [], root])),
    ] {
        assert_eq!(node.call(method, params).await.unwrap_err().0, -38005, "{method}");
    }
    for field in
        ["withdrawals", "blobGasUsed", "excessBlobGas", "withdrawalsRoot", "stateRoot", "transactions"]
    {
        let mut params = good.clone();
        params[0].as_object_mut().unwrap().remove(field);
        let refused = node.call("engine_newPayloadV4", params).await.unwrap_err();
        assert_eq!(refused.0, -32602, "{field}: {refused:?}");
    }
    for params in
        [json!([]), json!([payload]), json!([payload, [], root]), json!([payload, [], root, null]), json!({})]
    {
        assert_eq!(node.call("engine_newPayloadV4", params).await.unwrap_err().0, -32602);
    }
    assert_eq!(node.ask("engine_newPayloadV4", good).await["status"], "VALID");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_or_extra_data_that_is_wrong_has_no_valid_ancestor() {
    let node = Node::start().await;
    let head = node.chain.head();
    let envelope = node.build_on(head.hash(), node.attributes(&head)).await;
    let mut wrong_hash = envelope.clone();
    wrong_hash["executionPayload"]["blockHash"] = json!(B256::repeat_byte(1));
    let mut wrong_root = envelope.clone();
    wrong_root["executionPayload"]["stateRoot"] = json!(B256::repeat_byte(1));
    let mut wrong_beacon = envelope.clone();
    wrong_beacon["parentBeaconBlockRoot"] = json!(B256::repeat_byte(1));
    let faulty = [
        wrong_hash,
        wrong_root,
        wrong_beacon,
        forged(&envelope, |payload| payload["extraData"] = json!("0x")),
        forged(&envelope, |payload| payload["extraData"] = json!("0x00000000fa00000006")),
        forged(&envelope, |payload| payload["extraData"] = json!("0x0100000000000000060000000000000000")),
    ];
    for envelope in faulty {
        let status = node.new_payload(&envelope).await;
        assert_eq!(
            (&status["status"], &status["latestValidHash"]),
            (&json!("INVALID"), &Value::Null),
            "{status}"
        );
        assert!(status["validationError"].is_string());
    }
    let mut params = payload_params(&envelope);
    params[0]["baseFeePerGas"] = json!("0x10000000000000000");
    assert_eq!(node.ask("engine_newPayloadV4", params).await["status"], "INVALID");
    let mut params = payload_params(&envelope);
    params[1] = json!([B256::repeat_byte(1)]);
    assert_eq!(node.ask("engine_newPayloadV4", params).await["status"], "INVALID");
    let mut params = payload_params(&envelope);
    params[3] = json!(["0x00"]);
    assert_eq!(node.ask("engine_newPayloadV4", params).await["status"], "INVALID");
}

/// A fault that the hash does not cover is the message's: the block itself may come yet.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_hash_does_not_cover_condemns_no_block() {
    let (builder, node) = (Node::start().await, Node::start().await);
    let head = builder.chain.head();
    let good = builder.build_on(head.hash(), builder.attributes(&head)).await;
    let mut junk = good.clone();
    junk["executionPayload"]["withdrawals"] = json!([{
        "index": "0x0", "validatorIndex": "0x0", "address": alloy_primitives::Address::ZERO, "amount": "0x1",
    }]);
    for _ in 0..2 {
        let status = node.new_payload(&junk).await;
        assert_eq!(
            (&status["status"], &status["latestValidHash"]),
            (&json!("INVALID"), &Value::Null),
            "{status}"
        );
        assert!(status["validationError"].as_str().unwrap().contains("withdrawals"), "{status}");
    }
    assert_eq!(node.new_payload(&good).await["status"], "VALID");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_that_is_wrong_makes_the_block_invalid_on_its_parent() {
    let node = Node::start().await;
    node.send(&node.transfer(0));
    let head = node.chain.head();
    let envelope = node.build_on(head.hash(), node.attributes(&head)).await;
    let root = json!(B256::repeat_byte(1));
    let set = |field: &'static str, value: Value| forged(&envelope, |payload| payload[field] = value);
    let transactions = envelope["executionPayload"]["transactions"].as_array().unwrap().clone();
    let user = transactions[1].clone();
    let with = |bytes: &str| json!([transactions[0], bytes]);
    let malleable = raw(&with_high_s(&node.transfer(0))).to_string();
    let padded = format!("{}00", user.as_str().unwrap());
    let future = json!([transactions[0], raw(&node.transfer(5))]);
    // Nothing but the state binds it.
    let mut other_beacon_root = envelope.clone();
    other_beacon_root["parentBeaconBlockRoot"] = root.clone();
    let other_beacon_root = forged(&other_beacon_root, |_| ());
    let faulty = [
        set("stateRoot", root.clone()),
        set("receiptsRoot", root.clone()),
        set("withdrawalsRoot", root.clone()),
        set("logsBloom", json!(format!("0x{}", "01".repeat(256)))),
        set("blockNumber", json!("0x9")),
        set("timestamp", json!(format!("{:#x}", head.timestamp))),
        set("gasUsed", json!("0x1")),
        set("gasUsed", json!("0x3b9aca01")),
        set("gasLimit", json!("0x5208")),
        set("gasLimit", json!("0xffffffffffffffff")),
        set("baseFeePerGas", json!("0x1")),
        set("blobGasUsed", json!("0x1")),
        set("excessBlobGas", json!("0x1")),
        set("transactions", json!([transactions[0]])),
        set("transactions", json!([transactions[0], user, user])),
        set("transactions", with("0x02c0")),
        set("transactions", with("0x")),
        // A blob transaction, one of Lagoon, and one of a type that nobody has.
        set("transactions", with("0x03c0")),
        set("transactions", with("0x7dc0")),
        set("transactions", with("0x7fc0")),
        set("transactions", with(&malleable)),
        set("transactions", with(&padded)),
        set("transactions", future),
        set("feeRecipient", json!("0x0000000000000000000000000000000000000001")),
        other_beacon_root,
    ];
    for forged in faulty {
        let status = node.new_payload(&forged).await;
        let what = format!("{status} {}", forged["executionPayload"]);
        assert_eq!(status["status"], "INVALID", "{what}");
        assert_eq!(status["latestValidHash"], json!(head.hash()), "{what}");
        // Remembered: as a payload, as a parent, as a head.
        assert_eq!(node.new_payload(&forged).await["status"], "INVALID");
        let chosen = node.choose(hash_of(&forged)).await;
        assert_eq!((&chosen["status"], &chosen["latestValidHash"]), (&json!("INVALID"), &json!(head.hash())));
    }
    assert_eq!(node.chain.head().hash(), head.hash());
    assert_eq!(node.new_payload(&envelope).await["status"], "VALID");
}

/// The rollup node alone knows what L1 says.
#[tokio::test(flavor = "multi_thread")]
async fn another_randao_makes_another_block_that_is_valid() {
    let node = Node::start().await;
    let head = node.chain.head();
    let envelope = node.build_on(head.hash(), node.attributes(&head)).await;
    let other = forged(&envelope, |payload| payload["prevRandao"] = json!(B256::repeat_byte(1)));
    assert_ne!(hash_of(&other), hash_of(&envelope));
    assert_eq!(node.new_payload(&other).await["status"], "VALID");
}

/// A parent that nobody knows is no fault: it may come yet.
#[tokio::test(flavor = "multi_thread")]
async fn another_parent_is_waited_for() {
    let node = Node::start().await;
    let head = node.chain.head();
    let envelope = node.build_on(head.hash(), node.attributes(&head)).await;
    let orphan = forged(&envelope, |payload| payload["parentHash"] = json!(B256::repeat_byte(1)));
    let status = node.new_payload(&orphan).await;
    assert_eq!((&status["status"], &status["latestValidHash"]), (&json!("SYNCING"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn descendants_of_an_invalid_block_are_invalid() {
    let node = Node::start().await;
    let head = node.chain.head();
    let bad = forged(&node.build_on(head.hash(), node.attributes(&head)).await, |payload| {
        payload["gasUsed"] = json!("0x1");
    });
    let child = forged(&bad, |payload| {
        payload["parentHash"] = json!(hash_of(&bad));
        payload["blockNumber"] = json!("0x2");
    });
    let grandchild = forged(&child, |payload| {
        payload["parentHash"] = json!(hash_of(&child));
        payload["blockNumber"] = json!("0x3");
    });
    assert_eq!(node.new_payload(&bad).await["status"], "INVALID");
    for envelope in [&child, &grandchild] {
        let status = node.new_payload(envelope).await;
        assert_eq!((&status["status"], &status["latestValidHash"]), (&json!("INVALID"), &json!(head.hash())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_by_hash_and_by_range() {
    let node = Node::start().await;
    node.send(&node.transfer(0));
    let first = node.advance().await;
    node.advance().await;
    let unknown = B256::repeat_byte(9);
    let bodies = node.ask("engine_getPayloadBodiesByHashV1", json!([[hash_of(&first), unknown]])).await;
    assert_eq!(bodies[0]["transactions"], first["executionPayload"]["transactions"]);
    assert_eq!(bodies[0]["withdrawals"], json!([]));
    assert_eq!(bodies[1], Value::Null);
    let range = node.ask("engine_getPayloadBodiesByRangeV1", json!(["0x1", "0x20"])).await;
    assert_eq!(range.as_array().unwrap().len(), 2);
    assert_eq!(range[0], bodies[0]);
    assert_eq!(node.ask("engine_getPayloadBodiesByRangeV1", json!(["0x3", "0x1"])).await, json!([]));
    for (params, code) in
        [(json!(["0x0", "0x1"]), -32602), (json!(["0x1", "0x0"]), -32602), (json!(["0x1", "0x401"]), -38004)]
    {
        assert_eq!(node.call("engine_getPayloadBodiesByRangeV1", params).await.unwrap_err().0, code);
    }
    let many = vec![unknown; 1025];
    assert_eq!(node.call("engine_getPayloadBodiesByHashV1", json!([many])).await.unwrap_err().0, -38004);
}
