//! Calls that no rollup node makes.

use alloy_primitives::B256;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::node::{Node, payload_params, state};

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
