//! A JSON-RPC request to the Engine API. Whatever it says, there is an answer, and the chain goes on. A panic on any thread ends the run.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::runtime::Runtime;
use tributary_fuzz::Node;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
static NODE: LazyLock<Node> = LazyLock::new(|| {
    let _inside = RUNTIME.enter();
    Node::recorded()
});

fuzz_target!(|request: &str| {
    // What the server parses before any method is called.
    let Ok(Value::Object(mut fields)) = serde_json::from_str(request) else { return };
    fields.insert("jsonrpc".to_owned(), Value::from("2.0"));
    fields.insert("id".to_owned(), Value::from(1));
    let request = Value::Object(fields).to_string();
    let Ok((answer, _)) = RUNTIME.block_on(NODE.engine.raw_json_request(&request, 1)) else { return };
    let answer: Value = serde_json::from_str(answer.get()).expect("an answer is JSON");
    assert!(answer.get("result").is_some() != answer.get("error").is_some(), "{answer}");
    NODE.check();
});
