//! `debug_*`.

use crate::node::{Node, account, revert_code, transfer};
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
