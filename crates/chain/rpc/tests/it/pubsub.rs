//! `eth_subscribe` over WebSocket.

use crate::{
    bare::BareWs,
    node::{Node, config, transfer},
};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, TxKind};
use alloy_provider::{Provider, ProviderBuilder, WsConnect};
use jsonrpsee::{
    core::client::{ClientT, Subscription, SubscriptionClientT},
    rpc_params,
    ws_client::WsClient,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

async fn subscribe(client: &WsClient, params: Value) -> Subscription<Value> {
    let params = params.as_array().unwrap().clone();
    client.subscribe("eth_subscribe", params, "eth_unsubscribe").await.unwrap()
}

async fn next(subscription: &mut Subscription<Value>) -> Value {
    tokio::time::timeout(Duration::from_secs(10), subscription.next()).await.unwrap().unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_logs_and_pending_transactions_are_told() {
    let node = Node::start().await;
    let contract = node.deploy(0).await;
    let client = node.ws().await;
    let mut heads = subscribe(&client, json!(["newHeads"])).await;
    let mut logs = subscribe(&client, json!(["logs", {"address": contract}])).await;
    let mut hashes = subscribe(&client, json!(["newPendingTransactions"])).await;
    let mut full = subscribe(&client, json!(["newPendingTransactions", true])).await;
    let mut syncing = subscribe(&client, json!(["syncing"])).await;
    let input = B256::repeat_byte(0x99).into();
    let tx = TxEip1559 { nonce: 1, to: TxKind::Call(contract), input, ..TxEip1559::default() };
    let hash = node.send(0, tx).await;
    assert_eq!(next(&mut hashes).await, json!(hash));
    assert_eq!(next(&mut full).await["hash"], json!(hash));
    assert_eq!(next(&mut syncing).await, false);
    let block = node.mine();
    assert_eq!(next(&mut heads).await["hash"], json!(block.hash()));
    assert_eq!(next(&mut logs).await["topics"][0], json!(B256::repeat_byte(0x99)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_takes_logs_back_and_tells_the_new_heads() {
    let node = Node::start().await;
    let contract = node.deploy(0).await;
    let fork = node.chain.head().hash();
    let client = node.ws().await;
    let mut logs = subscribe(&client, json!(["logs", {"address": contract}])).await;
    let mut heads = subscribe(&client, json!(["newHeads"])).await;
    let input = B256::repeat_byte(0x98).into();
    node.send(0, TxEip1559 { nonce: 1, to: TxKind::Call(contract), input, ..TxEip1559::default() }).await;
    let left = node.mine();
    assert_eq!(next(&mut logs).await["removed"], false);
    assert_eq!(next(&mut heads).await["hash"], json!(left.hash()));
    let came = node.mine_on(fork, 3, false);
    assert_eq!(next(&mut logs).await["removed"], true);
    assert_eq!(next(&mut heads).await["hash"], json!(came.hash()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_subscribed_is_rejected() {
    let node = Node::start().await;
    let client = node.ws().await;
    for bad in [json!(["newWine"]), json!(["transactionReceipts"]), json!(["newHeads", true])] {
        let params = bad.as_array().unwrap().clone();
        let answer = client.subscribe::<Value, _>("eth_subscribe", params, "eth_unsubscribe").await;
        assert!(answer.is_err(), "{bad}");
    }
    let answer =
        client.subscribe::<Value, _>("tributary_subscribe", rpc_params!["batches"], "tributary_unsubscribe");
    assert!(answer.await.is_err(), "there is no worker");
    let plain: Value = client.request("eth_chainId", rpc_params![]).await.unwrap();
    assert_eq!(plain, "0x27613");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alloy_provider_follows_blocks() {
    let node = Node::start().await;
    let url = format!("ws://{}", node.handle.ws_address().unwrap());
    let provider = ProviderBuilder::new().connect_ws(WsConnect::new(url)).await.unwrap();
    let mut blocks = provider.subscribe_blocks().await.unwrap();
    node.send(0, transfer(Address::ZERO, 1, 0)).await;
    let block = node.mine();
    let header = tokio::time::timeout(Duration::from_secs(10), blocks.recv()).await.unwrap().unwrap();
    assert_eq!(header.hash, block.hash());
}

/// Every subscription listened to everything, and kept what it did not read: 1,024 executed blocks, 4,096 transactions.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_does_not_keep_what_it_does_not_tell() {
    let node = Node::start().await;
    let client = node.ws().await;
    let mut heads = subscribe(&client, json!(["newHeads"])).await;
    let mut logs = subscribe(&client, json!(["logs"])).await;
    let mut syncing = subscribe(&client, json!(["syncing"])).await;
    let mut listener = node.pool.subscribe_pending();
    node.send(0, transfer(Address::ZERO, 1, 0)).await;
    let tx = Arc::downgrade(&listener.recv().await.unwrap());
    drop(listener);
    let block = node.mine();
    assert_eq!(next(&mut heads).await["hash"], json!(block.hash()));
    assert_eq!(next(&mut syncing).await, false);
    let gone = async {
        while tx.upgrade().is_some() {
            node.pool.sync();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("nobody keeps the transaction");
    assert!(tokio::time::timeout(Duration::from_millis(50), logs.next()).await.is_err(), "still subscribed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_may_not_name_too_much() {
    let node = Node::start().await;
    let client = node.ws().await;
    let names: Vec<_> = (0..1_001_u64).map(|n| Address::left_padding_from(&n.to_be_bytes())).collect();
    let params = rpc_params!["logs", json!({"address": names})];
    let refusal = client.subscribe::<Value, _>("eth_subscribe", params, "eth_unsubscribe").await.unwrap_err();
    assert!(refusal.to_string().contains("exceed max addresses"), "{refusal}");
}

fn call(id: u32, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// Each was answered in the batch and a second time by itself, and told of things before its batch was answered.
#[tokio::test(flavor = "multi_thread")]
async fn what_subscribes_in_a_batch_is_answered_once_and_before_it_tells() {
    let node = Node::start().await;
    let mut client = BareWs::connect(&node).await;
    client
        .say(&json!([
            call(1, "eth_subscribe", json!(["syncing"])),
            call(2, "eth_chainId", json!([])),
            call(3, "eth_subscribe", json!(["newHeads"])),
            call(4, "eth_subscribe", json!(["newWine"])),
        ]))
        .await;
    let answers = client.hear().await;
    let answers = answers.as_array().unwrap_or_else(|| panic!("an answer by itself: {answers}"));
    let ids: Vec<_> = answers.iter().map(|answer| answer["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    assert_eq!(answers[3]["error"]["code"], -32602);
    let told = client.hear().await;
    assert_eq!(told["params"], json!({"subscription": answers[0]["result"], "result": false}));
    let block = node.mine();
    let told = client.hear().await;
    assert_eq!(told["params"]["subscription"], answers[2]["result"]);
    assert_eq!(told["params"]["result"]["hash"], json!(block.hash()));
    client.say(&json!([call(5, "eth_unsubscribe", json!([answers[2]["result"]]))])).await;
    assert_eq!(client.hear().await[0]["result"], true);
    node.mine();
    client.say(&call(6, "eth_chainId", json!([]))).await;
    assert_eq!(client.hear().await["id"], 6, "nothing is told any more");
}

/// Nobody learns its id, so nobody could end it.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_of_a_batch_that_is_answered_with_an_error_ends() {
    let mut config = config();
    config.limits.max_response_size = 2_000;
    let node = Node::with(config).await;
    let mut client = BareWs::connect(&node).await;
    let genesis = |id| call(id, "eth_getBlockByNumber", json!(["0x0", false]));
    let heads = call(1, "eth_subscribe", json!(["newHeads"]));
    client.say(&json!([heads, genesis(2), genesis(3), genesis(4)])).await;
    assert_eq!(client.hear().await["error"]["code"], -32011);
    node.mine();
    client.say(&call(5, "eth_chainId", json!([]))).await;
    assert_eq!(client.hear().await["id"], 5);
}
