//! `eth_subscribe` over WebSocket.

use crate::node::{Node, transfer};
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
