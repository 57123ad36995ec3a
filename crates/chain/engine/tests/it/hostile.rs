//! Calls that no rollup node makes.

use alloy_primitives::B256;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::node::{Node, forged, payload_params, state};

/// Values that fields of other types, other sizes or no sense at all may have.
fn odd_value(random: &mut StdRng) -> Value {
    match random.random_range(0..14) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(1.5e300),
        4 => json!([]),
        5 => json!({ "a": [{}] }),
        6 => json!(""),
        7 => json!("0x"),
        8 => json!("0xzz"),
        9 => json!(format!("0x{}", "f".repeat(random.random_range(1..200)))),
        10 => json!("0xffffffffffffffff"),
        11 => json!("0x0"),
        12 => json!(["0x02", "0x7e", "0xf8"]),
        _ => json!(B256::random()),
    }
}

fn spoil(object: &mut Value, random: &mut StdRng) {
    let Some(fields) = object.as_object_mut() else { return };
    let keys: Vec<String> = fields.keys().cloned().collect();
    for _ in 0..random.random_range(1..3) {
        let key = &keys[random.random_range(0..keys.len())];
        match random.random_range(0..5) {
            0 => drop(fields.remove(key)),
            _ => drop(fields.insert(key.clone(), odd_value(random))),
        }
    }
}

/// Whatever a field is made into, the answer is one that the specification has, and the chain goes on.
#[tokio::test(flavor = "multi_thread")]
async fn spoilt_payloads_and_attributes_have_answers() {
    let node = Node::start().await;
    node.send(&node.transfer(0));
    let head = node.chain.head();
    let envelope = node.build_on(head.hash(), node.attributes(&head)).await;
    let mut random = StdRng::seed_from_u64(5);
    for _ in 0..400 {
        let mut params = payload_params(&envelope);
        match random.random_range(0..6) {
            0 => params[random.random_range(0..4)] = odd_value(&mut random),
            _ => spoil(&mut params[0], &mut random),
        }
        match node.call("engine_newPayloadV4", params.clone()).await {
            Ok(status) => {
                let status = status["status"].as_str().unwrap();
                assert!(["INVALID", "SYNCING", "VALID"].contains(&status), "{params}");
            }
            Err((code, message)) => assert!([-32602, -38005].contains(&code), "{code} {message}: {params}"),
        }
        let mut attributes = node.attributes(&head);
        spoil(&mut attributes, &mut random);
        let update = json!([state(head.hash(), B256::ZERO, B256::ZERO), attributes]);
        match node.call("engine_forkchoiceUpdatedV3", update).await {
            Ok(answer) => assert_eq!(answer["payloadStatus"]["status"], "VALID", "{attributes}"),
            Err((code, message)) => {
                assert!([-38003, -38005].contains(&code), "{code} {message}: {attributes}")
            }
        }
    }
    node.advance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_json_or_far_too_deep_are_refused() {
    let node = Node::start().await;
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"engine_newPayloadV4","params":{}1{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for body in [String::new(), "{".to_owned(), "[]".to_owned(), "\u{0}".repeat(1000), deep] {
        let request = reqwest::Client::new().post(node.url()).bearer_auth(node.secret.token());
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap_or_default();
        assert!(answer.get("result").is_none(), "{answer}");
    }
    node.advance().await;
}

/// One that announced 4 GiB or more held its place among the calls for as long as it liked.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_an_absurd_size_is_refused_unread() {
    let node = Node::start().await;
    let mut stream = TcpStream::connect(node.server.address()).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\n\
         Content-Length: 1000000000000\r\n\r\n{{",
        node.secret.token()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(Duration::from_secs(20), stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413");
    node.advance().await;
}

/// Lists and fields that are far longer than any block's.
#[tokio::test(flavor = "multi_thread")]
async fn payloads_of_absurd_sizes_are_invalid() {
    let node = Node::start().await;
    let head = node.chain.head();
    let envelope = node.build_on(head.hash(), node.attributes(&head)).await;
    let mut absurd = Vec::new();
    for (field, value) in [
        ("transactions", json!(vec!["0x"; 100_000])),
        ("transactions", json!([format!("0x{}", "02".repeat(8 << 20))])),
    ] {
        absurd.push(forged(&envelope, |payload| payload[field] = value));
    }
    let mut long_extra = payload_params(&envelope);
    long_extra[0]["extraData"] = json!(format!("0x{}", "01".repeat(1 << 20)));
    let mut hashes = payload_params(&envelope);
    hashes[1] = json!(vec![B256::repeat_byte(1); 100_000]);
    let mut requests = payload_params(&envelope);
    requests[3] = json!(vec!["0x00"; 100_000]);
    for params in absurd.iter().map(payload_params).chain([long_extra, hashes, requests]) {
        assert_eq!(node.ask("engine_newPayloadV4", params).await["status"], "INVALID");
    }
    let state = state(head.hash(), B256::ZERO, B256::ZERO);
    let mut attributes = node.attributes(&head);
    attributes["transactions"] = json!(vec!["0x"; 100_000]);
    let refused = node.call("engine_forkchoiceUpdatedV3", json!([state, attributes])).await.unwrap_err();
    assert_eq!(refused.0, -38003);
    node.advance().await;
}
