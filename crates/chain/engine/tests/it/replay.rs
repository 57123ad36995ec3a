//! A whole conversation that op-node had with op-reth 1.10.2, answered again.

use std::{fs, io::Read};

use serde_json::Value;
use tributary_evm::DaCaps;

use crate::node::{Node, recorded_spec, testdata};

fn recorded_calls() -> Vec<Value> {
    let file = fs::read(testdata("engine-isthmus-jovian.jsonl.zst")).unwrap();
    let mut text = String::new();
    ruzstd::decoding::StreamingDecoder::new(file.as_slice()).unwrap().read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Status and latest valid hash of newPayload and forkchoiceUpdated, and the payload's id.
fn essence(answer: &Value) -> Value {
    let status = answer.get("payloadStatus").unwrap_or(answer);
    serde_json::json!([status["status"], status["latestValidHash"], answer["payloadId"]])
}

/// Every call gets the answer that op-reth gave, through the activations of Isthmus and Jovian. Payloads are taken, too,
/// though op-reth's pool held transactions that this one does not: they must be of the recorded height and parent.
#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_conversation_gets_the_same_answers() {
    let node = Node::with(recorded_spec()).await;
    let (mut imported, mut taken) = (0, 0);
    for call in recorded_calls() {
        let method = call["method"].as_str().unwrap();
        let recorded = &call["result"];
        if recorded.is_null() {
            continue;
        }
        match method {
            "engine_forkchoiceUpdatedV3" | "engine_newPayloadV3" | "engine_newPayloadV4" => {
                let answer = node.ask(method, call["params"].clone()).await;
                assert_eq!(essence(&answer), essence(recorded), "{method} {}", call["params"]);
                imported += u32::from(method.starts_with("engine_newPayload"));
            }
            "engine_getPayloadV3" | "engine_getPayloadV4" => {
                let answer = node.ask(method, call["params"].clone()).await;
                for field in
                    ["parentHash", "blockNumber", "timestamp", "extraData", "baseFeePerGas", "gasLimit"]
                {
                    let of = |envelope: &Value| envelope["executionPayload"][field].clone();
                    assert_eq!(of(&answer), of(recorded), "{field}");
                }
                taken += 1;
            }
            _ => {}
        }
    }
    assert_eq!((imported, taken), (46, 46));
    assert_eq!(node.chain.head().number, 46);
    assert!(node.chain.safe().is_some());
    assert_eq!(node.engine.builder().da_caps(), DaCaps::default());
}
