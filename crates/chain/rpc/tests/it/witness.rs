//! Witnesses, and what is asked for beside them.

use crate::node::{Node, account, transfer};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, Bytes, TxKind, keccak256};
use jsonrpsee::rpc_params;
use serde_json::{Value, json};
use tributary_evm::{StatelessError, Witness};

fn witness(value: Value) -> Witness {
    serde_json::from_value(value).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_by_number_tag_or_hash_executes_its_block() {
    let node = Node::start().await;
    let contract = node.deploy(0).await;
    let input: Bytes = B256::repeat_byte(0x42).into();
    node.send(0, TxEip1559 { nonce: 1, to: TxKind::Call(contract), input, ..TxEip1559::default() }).await;
    node.send(1, transfer(Address::repeat_byte(9), 1, 0)).await;
    let block = node.mine();

    let by_tag = node.ask("debug_executionWitness", rpc_params!["latest"]).await;
    assert_eq!(node.ask("debug_executionWitness", rpc_params!["0x2"]).await, by_tag);
    assert_eq!(node.ask("debug_executionWitnessByBlockHash", rpc_params![block.hash()]).await, by_tag);
    let whole = witness(by_tag);
    let executed = node.executor.execute_stateless(block.clone(), &whole).unwrap();
    assert_eq!(executed.block.header().state_root, block.header().state_root);
    assert!(whole.keys.contains(&Bytes::copy_from_slice(contract.as_slice())));
    assert!(whole.keys.contains(&B256::ZERO.into()), "the slot that was written");
    assert!(!whole.codes.is_empty() && whole.headers.len() == 1);
    assert_eq!(keccak256(&whole.headers[0]), block.parent_hash());

    // Each node and each code can be had on its own.
    for bytes in whole.state.iter().chain(&whole.codes) {
        assert_eq!(node.ask("debug_dbGet", rpc_params![keccak256(bytes)]).await, json!(bytes));
    }
    let hash = keccak256(&whole.codes[0]);
    let prefixed = Bytes::from([&[0x63][..], hash.as_slice()].concat());
    assert_eq!(node.ask("debug_dbGet", rpc_params![prefixed]).await, json!(whole.codes[0]));
    assert_eq!(node.ask("debug_codeByHash", rpc_params![hash]).await, json!(whole.codes[0]));
    assert_eq!(node.ask("debug_dbGet", rpc_params![B256::repeat_byte(7)]).await, Value::Null);
    assert!(node.try_ask("debug_dbGet", rpc_params!["0x1234"]).await.is_err());

    let mut less = whole.clone();
    less.state.pop();
    let error = node.executor.execute_stateless(block, &less).unwrap_err();
    assert!(matches!(error, StatelessError::Witness(_)), "{error}");

    assert!(node.try_ask("debug_executionWitness", rpc_params!["0x0"]).await.is_err());
    let unknown = node.try_ask("debug_executionWitness", rpc_params!["0x99"]).await.unwrap_err();
    assert_eq!(unknown.message(), "block not found: 0x99");
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_leave_their_nodes_to_ask_for() {
    let node = Node::start().await;
    let proof = node.ask("eth_getProof", rpc_params![account(0).address(), json!([]), "latest"]).await;
    let root: Bytes = serde_json::from_value(proof["accountProof"][0].clone()).unwrap();
    assert_eq!(keccak256(&root), node.spec.genesis_header().state_root);
    assert_eq!(node.ask("debug_dbGet", rpc_params![keccak256(&root)]).await, json!(root));
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_is_listed_in_the_middle_of_a_block() {
    let node = Node::start().await;
    let contract = node.deploy(0).await;
    for (nonce, byte) in [(1, 0x11), (2, 0x22)] {
        let input: Bytes = B256::repeat_byte(byte).into();
        node.send(0, TxEip1559 { nonce, to: TxKind::Call(contract), input, ..TxEip1559::default() }).await;
    }
    let block = node.mine();
    assert_eq!(block.transactions().len(), 3);
    let slot = keccak256(B256::ZERO);
    let at = async |index: usize| {
        node.ask("debug_storageRangeAt", rpc_params![block.hash(), index, contract, "0x", 10]).await
    };
    assert_eq!(at(0).await, json!({"storage": {}, "nextKey": null}));
    assert_eq!(at(1).await, json!({"storage": {}, "nextKey": null}));
    for (index, byte) in [(2, 0x11), (3, 0x22)] {
        let entry = json!({"key": B256::ZERO, "value": B256::repeat_byte(byte)});
        assert_eq!(at(index).await, json!({"storage": { slot.to_string(): entry }, "nextKey": null}));
    }
    let beyond = node.try_ask("debug_storageRangeAt", rpc_params!["latest", 4, contract, "0x", 10]).await;
    assert!(beyond.unwrap_err().message().starts_with("transaction index 4 out of range"));

    // A predeploy with many slots, part by part.
    let proxy_admin: Address = "0x4200000000000000000000000000000000000015".parse().unwrap();
    let all = node.ask("debug_storageRangeAt", rpc_params!["latest", 1, proxy_admin, "0x", 4096]).await;
    let all = all["storage"].as_object().unwrap().clone();
    let (mut found, mut next) = (serde_json::Map::new(), json!("0x"));
    while !next.is_null() {
        let part = node.ask("debug_storageRangeAt", rpc_params!["latest", 1, proxy_admin, next, 2]).await;
        let storage = part["storage"].as_object().unwrap().clone();
        assert!(storage.len() <= 2);
        found.extend(storage);
        next = part["nextKey"].clone();
    }
    assert!(found.len() > 3 && found == all);
    let long = Bytes::from(vec![0; 33]);
    assert!(node.try_ask("debug_storageRangeAt", rpc_params!["latest", 0, contract, long, 1]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_data_is_found_by_hash_number_and_tag() {
    let node = Node::start().await;
    node.send(0, transfer(Address::ZERO, 1, 0)).await;
    let block = node.mine();
    for method in
        ["debug_getRawHeader", "debug_getRawBlock", "debug_getRawTransactions", "debug_getRawReceipts"]
    {
        let by_hash = node.ask(method, rpc_params![block.hash()]).await;
        assert!(!by_hash.is_null(), "{method}");
        assert_eq!(node.ask(method, rpc_params!["0x1"]).await, by_hash, "{method}");
        assert_eq!(node.ask(method, rpc_params!["latest"]).await, by_hash, "{method}");
    }
    let traced =
        node.ask("debug_traceBlockByNumber", rpc_params!["latest", json!({"tracer": "callTracer"})]).await;
    let given = Bytes::from(block.rlp());
    let given = node.ask("debug_traceBlock", rpc_params![given, json!({"tracer": "callTracer"})]).await;
    assert_eq!(given, traced);
    assert!(node.try_ask("debug_traceBlock", rpc_params!["0x1234"]).await.is_err());
}
