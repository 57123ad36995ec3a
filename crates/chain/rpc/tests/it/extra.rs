//! What few ask for: forks, accounts, bundles of calls.

use crate::node::{Node, account, transfer};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use jsonrpsee::rpc_params;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_fork_configuration_names_precompiles_and_system_contracts() {
    let node = Node::start().await;
    let config = node.ask("eth_config", rpc_params![]).await;
    let current = &config["current"];
    assert_eq!(
        (&current["activationTime"], &current["chainId"]),
        (&json!(0), &json!(format!("{:#x}", node.spec.chain_id())))
    );
    assert_eq!((&current["blobSchedule"]["max"], &current["blobSchedule"]["target"]), (&json!(0), &json!(0)));
    assert_eq!(current["precompiles"]["ECREC"], json!(Address::with_last_byte(1)));
    assert_eq!(current["precompiles"]["BLS12_G1ADD"], json!(Address::with_last_byte(0x0b)));
    assert_eq!(current["precompiles"]["P256VERIFY"], "0x0000000000000000000000000000000000000100");
    let contracts: Vec<_> = current["systemContracts"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(contracts, ["BEACON_ROOTS_ADDRESS", "HISTORY_STORAGE_ADDRESS"]);
    let fork_id = current["forkId"].as_str().unwrap();
    assert_eq!(fork_id.len(), 10);
    assert!(node.spec.economy.economy_time == Some(0), "the dev chain has all of its forks at genesis");
    assert_eq!((&config["next"], &config["last"]), (&Value::Null, &Value::Null));
    let economy = Address::from_slice(&[&[0; 18][..], &[0x0a, 0x01]].concat());
    assert!(current["precompiles"].as_object().unwrap().values().any(|address| *address == json!(economy)));
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_shown_whole() {
    let node = Node::start().await;
    let contract = node.deploy(0).await;
    let shown = node.ask("eth_getAccount", rpc_params![contract, "latest"]).await;
    let proof = node.ask("eth_getProof", rpc_params![contract, json!([]), "latest"]).await;
    assert_eq!((&shown["balance"], &shown["nonce"]), (&json!("0x0"), &json!("0x1")));
    assert_eq!(shown["codeHash"], proof["codeHash"]);
    assert_eq!(shown["storageRoot"], proof["storageHash"]);
    let info = node.ask("eth_getAccountInfo", rpc_params![contract, "latest"]).await;
    assert_eq!(info["code"], node.ask("eth_getCode", rpc_params![contract, "latest"]).await);
    let nobody = Address::repeat_byte(0x99);
    assert_eq!(node.ask("eth_getAccount", rpc_params![nobody, "latest"]).await, Value::Null);
    assert_eq!(node.ask("eth_getAccount", rpc_params![contract, "0x0"]).await, Value::Null);
    assert_eq!(node.ask("eth_getAccountInfo", rpc_params![nobody, "latest"]).await["code"], "0x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_found_by_its_sender_and_nonce() {
    let node = Node::start().await;
    let mut sent = Vec::new();
    for nonce in 0..7 {
        sent.push(node.send(0, transfer(Address::repeat_byte(1), 1, nonce)).await);
        if nonce % 2 == 0 && nonce < 6 {
            node.mine();
            node.mine();
        }
    }
    for (nonce, hash) in sent.iter().enumerate() {
        let params = rpc_params![account(0).address(), format!("{nonce:#x}")];
        let found = node.ask("eth_getTransactionBySenderAndNonce", params).await;
        assert_eq!((&found["hash"], &found["nonce"]), (&json!(hash), &json!(format!("{nonce:#x}"))));
    }
    let by_nonce = async |from: Address, nonce: &str| {
        node.ask("eth_getTransactionBySenderAndNonce", rpc_params![from, nonce]).await
    };
    assert_eq!(by_nonce(account(0).address(), "0x7").await, Value::Null);
    assert_eq!(by_nonce(account(5).address(), "0x0").await, Value::Null);

    let raw = node.ask("eth_getRawTransactionByBlockNumberAndIndex", rpc_params!["0x1", "0x1"]).await;
    assert_eq!(raw, node.ask("eth_getRawTransactionByHash", rpc_params![sent[0]]).await);
    let hash = node.chain.canonical_hash(1).unwrap().unwrap();
    let by_hash = node.ask("eth_getRawTransactionByBlockHashAndIndex", rpc_params![hash, "0x1"]).await;
    assert_eq!(by_hash, raw);
    let none = node.ask("eth_getRawTransactionByBlockHashAndIndex", rpc_params![hash, "0x9"]).await;
    assert_eq!(none, Value::Null);
    assert_eq!(node.ask("eth_getUncleByBlockHashAndIndex", rpc_params![hash, "0x0"]).await, Value::Null);
    assert_eq!(
        node.ask("eth_getUncleByBlockNumberAndIndex", rpc_params!["latest", "0x0"]).await,
        Value::Null
    );
}

/// Answers slot 0.
const READS: &str = "0x5f545f5260205ff3";

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_a_bundle_see_what_those_before_did() {
    let node = Node::start().await;
    let contract = node.deploy(0).await;
    let input: Bytes = B256::repeat_byte(0x11).into();
    node.send(0, TxEip1559 { nonce: 1, to: TxKind::Call(contract), input, ..TxEip1559::default() }).await;
    node.mine();
    let write = json!({"to": contract, "data": B256::from(U256::from(5))});
    let reverts = json!({"to": Address::repeat_byte(0xbb)});
    let overrides = json!({ Address::repeat_byte(0xbb).to_string(): { "code": "0x5f5ffd" } });
    let bundles = json!([{"transactions": [write, reverts]}, {"transactions": [write]}]);
    let answer = node.ask("eth_callMany", rpc_params![bundles.clone(), Value::Null, overrides]).await;
    assert_eq!(answer[0][0], json!({"value": "0x"}));
    assert_eq!(answer[0][1], json!({"error": "execution reverted"}));
    assert_eq!(answer[1][0], json!({"value": "0x"}));

    // Slot 0 before the block's second transaction and after it.
    let read = json!([{"transactions": [{"to": contract}]}]);
    let reader = json!({ contract.to_string(): { "code": READS } });
    let at = async |index: i64| {
        let context = json!({"blockNumber": "latest", "transactionIndex": index});
        node.ask("eth_callMany", rpc_params![read.clone(), context, reader.clone()]).await[0][0]["value"]
            .clone()
    };
    assert_eq!(at(1).await, json!(B256::ZERO));
    assert_eq!(at(2).await, json!(B256::repeat_byte(0x11)));
    assert_eq!(at(-1).await, json!(B256::repeat_byte(0x11)));

    let options = json!({"tracer": "callTracer"});
    let traced = node.ask("debug_traceCallMany", rpc_params![bundles, Value::Null, options]).await;
    assert_eq!(traced[1][0]["to"], json!(contract));
    assert_eq!((traced.as_array().unwrap().len(), traced[0].as_array().unwrap().len()), (2, 2));

    // Three endless calls: the first takes all the gas there is.
    let endless = json!({ contract.to_string(): { "code": "0x5b600056" } });
    let loops = json!([{"transactions": vec![json!({"to": contract}); 3]}]);
    let spent = node.try_ask("eth_callMany", rpc_params![loops, Value::Null, endless]).await.unwrap_err();
    assert!(spent.message().starts_with("intrinsic gas too low"), "{spent:?}");

    assert!(node.try_ask("eth_callMany", rpc_params![json!([])]).await.is_err());
    let many = json!([{"transactions": vec![json!({"to": contract}); 1025]}]);
    assert!(node.try_ask("eth_callMany", rpc_params![many]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bad_blocks_are_kept() {
    let node = Node::start().await;
    assert_eq!(node.ask("debug_getBadBlocks", rpc_params![]).await, json!([]));
}
