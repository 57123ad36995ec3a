//! `debug_*`.

use crate::node::{Node, account, config, init_code, revert_code, transfer};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, Bytes, TxKind, keccak256};
use jsonrpsee::rpc_params;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_mined_transaction_is_traced_by_each_tracer() {
    let node = Node::start().await;
    let contract = node.deploy(0).await;
    let input: Bytes = B256::repeat_byte(0x42).into();
    node.send(1, transfer(Address::ZERO, 1, 0)).await;
    let call =
        TxEip1559 { nonce: 1, to: TxKind::Call(contract), input: input.clone(), ..TxEip1559::default() };
    let hash = node.send(0, call).await;
    node.mine();
    let receipt = node.ask("eth_getTransactionReceipt", rpc_params![hash]).await;

    let steps = node.ask("debug_traceTransaction", rpc_params![hash]).await;
    let gas = u64::from_str_radix(&receipt["gasUsed"].as_str().unwrap()[2..], 16).unwrap();
    assert_eq!((&steps["failed"], &steps["gas"]), (&json!(false), &json!(gas)));
    let ops: Vec<_> =
        steps["structLogs"].as_array().unwrap().iter().map(|log| log["op"].as_str().unwrap()).collect();
    assert!(ops.contains(&"SSTORE") && ops.contains(&"LOG1") && ops.ends_with(&["STOP"]), "{ops:?}");

    let tree = json!({"tracer": "callTracer", "tracerConfig": {"withLog": true}});
    let tree = node.ask("debug_traceTransaction", rpc_params![hash, tree]).await;
    assert_eq!((&tree["type"], &tree["input"]), (&json!("CALL"), &json!(input)));
    assert_eq!((&tree["from"], &tree["to"]), (&json!(account(0).address()), &json!(contract)));
    assert_eq!(tree["gasUsed"], receipt["gasUsed"]);
    assert_eq!(tree["logs"].as_array().unwrap().len(), 1);

    let before =
        node.ask("debug_traceTransaction", rpc_params![hash, json!({"tracer": "prestateTracer"})]).await;
    let key = |address: Address| address.to_string().to_lowercase();
    assert_eq!(before[key(account(0).address())]["nonce"], 1);
    assert!(before[key(contract)]["code"].is_string());

    let all =
        node.ask("debug_traceBlockByNumber", rpc_params!["latest", json!({"tracer": "callTracer"})]).await;
    let places: Vec<_> = all.as_array().unwrap().iter().map(|trace| trace["txHash"].clone()).collect();
    assert!(places.len() == 3 && places.contains(&json!(hash)));
    let head = node.chain.head().hash();
    assert_eq!(
        node.ask("debug_traceBlockByHash", rpc_params![head, json!({"tracer": "callTracer"})]).await,
        all
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_traced_with_overrides() {
    let node = Node::start().await;
    let target = Address::repeat_byte(0xaa);
    let options = json!({
        "tracer": "callTracer",
        "stateOverrides": { target.to_string(): { "code": revert_code(b"bad!") } },
    });
    let trace = node.ask("debug_traceCall", rpc_params![json!({"to": target}), "latest", options]).await;
    assert_eq!((&trace["error"], &trace["output"]), (&json!("execution reverted"), &json!("0x62616421")));
    let unknown = json!({"tracer": "tracer of tracers"});
    let answer = node.try_ask("debug_traceCall", rpc_params![json!({"to": target}), "latest", unknown]).await;
    assert!(answer.is_err());
    let missing = node.try_ask("debug_traceTransaction", rpc_params![B256::ZERO]).await.unwrap_err();
    assert_eq!(missing.message(), "transaction not found");
}

/// A caller picks the code and what is recorded of it, so both what a trace holds and how long it runs have bounds.
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_ends_at_its_bounds() {
    let mut config = config();
    config.eth.max_trace_bytes = 16 << 20;
    let node = Node::with(config).await;
    let target = Address::repeat_byte(0x11);
    let call = json!({"to": target, "gas": "0x2faf080"});
    let trace = async |code: &str, mut options: Value| {
        options["stateOverrides"] = json!({ target.to_string(): { "code": code } });
        node.try_ask("debug_traceCall", rpc_params![call.clone(), "latest", options]).await
    };
    // mstore(0x10000, 0) in the beginning, then a loop that does nothing: 64 KiB are recorded a step.
    let memory = "0x600062010000525b600756".to_owned();
    // Calls without end, each with 64 KiB of input.
    let calls = "0x5b60006000620100006000600060996000f150600056";
    let endless = "0x5b600056";
    // One slot after another; each step shows all of them.
    let slots = "0x60005b805450600101600256";
    for (code, options) in [
        (memory.as_str(), json!({"enableMemory": true})),
        (endless, json!({})),
        (slots, json!({"disableStack": true})),
        (calls, json!({"tracer": "callTracer"})),
        (calls, json!({"tracer": "flatCallTracer"})),
        (calls, json!({"tracer": "muxTracer", "tracerConfig": {"callTracer": {}, "prestateTracer": {}}})),
        (endless, json!({"tracer": "erc7562Tracer"})),
    ] {
        let error = trace(code, options.clone()).await.unwrap_err();
        let refused = error.message().starts_with("trace exceeds 16 MiB; ");
        assert!(refused && error.code() == -32005, "{options}: {error:?}");
    }

    for options in [json!({}), json!({"tracer": "prestateTracer"}), json!({"tracer": "noopTracer"})] {
        let mut options = options;
        options["timeout"] = json!("0s");
        let error = trace(endless, options).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (-32000, "execution timeout"));
    }
    let error = trace(endless, json!({"timeout": "soon"})).await.unwrap_err();
    assert_eq!(error.code(), -32602);

    let limited = trace(endless, json!({"limit": 7})).await.unwrap();
    assert_eq!((limited["structLogs"].as_array().unwrap().len(), &limited["failed"]), (7, &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_traces_of_a_block_share_a_bound() {
    let mut config = config();
    config.eth.max_trace_bytes = 1 << 20;
    let node = Node::with(config).await;
    // A loop of some 700 steps.
    let looping = alloy_primitives::hex!("60ff5b6001900380600257");
    let input = init_code(&looping);
    node.send(0, TxEip1559 { to: TxKind::Create, input, ..TxEip1559::default() }).await;
    node.mine();
    let to = TxKind::Call(account(0).address().create(0));
    let mut last = B256::ZERO;
    for from in 1..4 {
        last = node.send(from, TxEip1559 { to, ..TxEip1559::default() }).await;
    }
    node.mine();
    let one = node.ask("debug_traceTransaction", rpc_params![last]).await;
    assert!(one["structLogs"].as_array().unwrap().len() > 500);
    let error = node.try_ask("debug_traceBlockByNumber", rpc_params!["latest"]).await.unwrap_err();
    assert!(error.message().starts_with("trace exceeds 1 MiB; "), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_bytes_hash_to_what_they_are() {
    let node = Node::start().await;
    let hash = node.send(0, transfer(Address::ZERO, 1, 0)).await;
    let block = node.mine();
    let bytes = |value: Value| serde_json::from_value::<Bytes>(value).unwrap();
    let header = bytes(node.ask("debug_getRawHeader", rpc_params![block.hash()]).await);
    assert_eq!(keccak256(&header), block.hash());
    assert_eq!(bytes(node.ask("debug_getRawBlock", rpc_params!["latest"]).await), Bytes::from(block.rlp()));
    let tx = bytes(node.ask("debug_getRawTransaction", rpc_params![hash]).await);
    assert_eq!(keccak256(&tx), hash);
    assert_eq!(node.ask("eth_getRawTransactionByHash", rpc_params![hash]).await, json!(tx));
    let receipts = node.ask("debug_getRawReceipts", rpc_params!["latest"]).await;
    let receipts: Vec<Bytes> = serde_json::from_value(receipts).unwrap();
    let root = alloy_consensus::proofs::ordered_trie_root_with_encoder(&receipts, |receipt, out| {
        out.extend_from_slice(receipt);
    });
    assert_eq!(root, block.header().receipts_root);
    assert_eq!(node.ask("debug_chainConfig", rpc_params![]).await["chainId"], 161299);
}
