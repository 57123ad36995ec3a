//! `pending`: the head, or a block of what waits in the pool.

use crate::node::{Node, account};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, TxKind, U256, address};
use serde_json::{Value, json};

const TO: Address = address!("00000000000000000000000000000000000f00d5");

fn transfer(nonce: u64, wei: u64) -> TxEip1559 {
    TxEip1559 { nonce, to: TxKind::Call(TO), value: U256::from(wei), ..TxEip1559::default() }
}

async fn balance(node: &Node, block: &Value) -> Value {
    node.ask("eth_getBalance", json_params(json!([TO, block]))).await
}

fn json_params(params: Value) -> Vec<Value> {
    params.as_array().unwrap().clone()
}

async fn block(node: &Node, tag: &str, full: bool) -> Value {
    node.ask("eth_getBlockByNumber", json_params(json!([tag, full]))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_is_the_head_unless_asked_for() {
    let node = Node::start().await;
    node.mine();
    node.send(0, transfer(0, 5)).await;
    assert_eq!(block(&node, "pending", false).await, block(&node, "latest", false).await);
    assert_eq!(balance(&node, &json!("pending")).await, "0x0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_block_holds_what_the_pool_would_give() {
    let node = Node::with_pending_blocks().await;
    let head = node.mine();
    let sent = node.send(0, transfer(0, 5)).await;

    let pending = block(&node, "pending", true).await;
    assert_eq!(pending["parentHash"], json!(head.hash()));
    assert_eq!(pending["number"], json!(format!("{:#x}", head.number() + 1)));
    assert_eq!(pending["transactions"][1]["hash"], json!(sent));
    let count = node.ask("eth_getBlockTransactionCountByNumber", ["pending"]).await;
    assert_eq!(count, "0x2");
    let receipts = node.ask("eth_getBlockReceipts", ["pending"]).await;
    assert_eq!(receipts[1]["status"], "0x1");
    assert_eq!(receipts[1]["transactionHash"], json!(sent));

    // The state after it, by tag and by hash, and a call on top.
    assert_eq!(balance(&node, &json!("pending")).await, "0x5");
    assert_eq!(balance(&node, &pending["hash"]).await, "0x5");
    assert_eq!(balance(&node, &json!("latest")).await, "0x0");
    let sender = account(0).address();
    let nonce = node.ask("eth_getTransactionCount", json_params(json!([sender, pending["hash"]]))).await;
    assert_eq!(nonce, "0x1");
    // BALANCE of TO, NUMBER above it: 32 bytes each.
    let code = "0x73".to_owned() + &format!("{TO:x}") + "31600052436020526040" + "6000f3";
    let call = json!([{ "data": code }, "pending"]);
    let output = node.ask("eth_call", json_params(call)).await;
    let output = output.as_str().unwrap();
    assert!(output[2..66].ends_with('5') && output[66..].ends_with(&format!("{:x}", head.number() + 1)));

    // The head knows nothing of it, and does not become it.
    assert_eq!(node.chain.head().hash(), head.hash());
    assert_eq!(block(&node, "latest", false).await["hash"], json!(head.hash()));

    // History ends with what was sequenced.
    let of = async |newest: &str| node.ask("eth_feeHistory", json_params(json!([2, newest, [50.0]]))).await;
    assert_eq!(of("pending").await, of("latest").await);

    // Another head, another pending block.
    let mined = node.mine();
    let next = block(&node, "pending", false).await;
    assert_eq!(next["parentHash"], json!(mined.hash()));
    assert_eq!(next["transactions"].as_array().unwrap().len(), 1);
    assert_eq!(balance(&node, &json!("latest")).await, "0x5");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_a_pending_block_are_had_from_pending_on() {
    for pending in [false, true] {
        let node = if pending { Node::with_pending_blocks().await } else { Node::start().await };
        let contract = node.deploy(0).await;
        let log = |nonce, topic| {
            let input = B256::repeat_byte(topic).into();
            let tx = TxEip1559 { nonce, to: TxKind::Call(contract), input, ..TxEip1559::default() };
            node.send(0, tx)
        };
        log(1, 0x11).await;
        let head = node.mine();
        let waiting = log(2, 0x22).await;
        let logs = async |from: Value, to: Value| {
            let filter = json!([{ "address": contract, "fromBlock": from, "toBlock": to }]);
            node.ask("eth_getLogs", json_params(filter)).await
        };
        let topics = |logs: Value| -> Vec<String> {
            let topic = |log: &Value| log["topics"][0].as_str().unwrap()[2..4].to_owned();
            logs.as_array().unwrap().iter().map(topic).collect()
        };
        let last = if pending { "22" } else { "11" };
        let all = logs(json!("pending"), json!("pending")).await;
        assert_eq!(topics(all.clone()), [last]);
        assert_eq!(topics(logs(json!("pending"), Value::Null).await), [last]);
        assert_eq!(topics(logs(json!("earliest"), json!("pending")).await), ["11"], "it ends at the head");
        assert_eq!(topics(logs(json!("latest"), json!("pending")).await), ["11"]);
        assert_eq!(logs(json!("pending"), json!("latest")).await, json!([]), "nothing lies between");
        if pending {
            let number = head.number() + 1;
            assert_eq!(all[0]["blockNumber"], json!(format!("{number:#x}")));
            assert_eq!((&all[0]["transactionHash"], &all[0]["removed"]), (&json!(waiting), &json!(false)));
            assert_eq!(topics(logs(json!("pending"), json!(format!("{number:#x}"))).await), ["22"]);
            assert_eq!(logs(json!("pending"), json!(format!("{:#x}", head.number()))).await, json!([]));
        }
    }
}
