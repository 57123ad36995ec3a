//! `eth_getLogs` and polled filters.

use crate::node::{Node, config, transfer};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, TxKind};
use jsonrpsee::rpc_params;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tributary_rpc::Lane;

async fn log(node: &Node, contract: Address, nonce: u64, topic: u8) -> B256 {
    let input = B256::repeat_byte(topic).into();
    node.send(0, TxEip1559 { nonce, to: TxKind::Call(contract), input, ..TxEip1559::default() }).await
}

fn topics(logs: &Value) -> Vec<String> {
    logs.as_array().unwrap().iter().map(|log| log["topics"][0].as_str().unwrap()[2..4].to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_found_by_range_hash_address_and_topic() {
    let node = Node::start().await;
    let contract = node.deploy(0).await;
    for (nonce, topic) in [(1, 0x11), (2, 0x22), (3, 0x33)] {
        log(&node, contract, nonce, topic).await;
        node.mine();
    }
    let all =
        node.ask("eth_getLogs", rpc_params![json!({"fromBlock": "earliest", "address": contract})]).await;
    assert_eq!(topics(&all), ["11", "22", "33"]);
    assert_eq!(
        (&all[1]["blockNumber"], &all[1]["logIndex"], &all[1]["removed"]),
        (&json!("0x3"), &json!("0x0"), &json!(false))
    );
    assert_eq!(all[1]["transactionIndex"], "0x1");
    let some = json!({"fromBlock": "0x0", "topics": [[B256::repeat_byte(0x11), B256::repeat_byte(0x33)]]});
    assert_eq!(topics(&node.ask("eth_getLogs", rpc_params![some]).await), ["11", "33"]);
    let hash = node.chain.head().hash();
    assert_eq!(topics(&node.ask("eth_getLogs", rpc_params![json!({"blockHash": hash})]).await), ["33"]);
    let other = json!({"fromBlock": "0x0", "address": Address::ZERO});
    assert_eq!(node.ask("eth_getLogs", rpc_params![other]).await, json!([]));
    for bad in [json!({"fromBlock": "0x3", "toBlock": "0x1"}), json!({"fromBlock": "0x63"})] {
        assert_eq!(node.try_ask("eth_getLogs", rpc_params![bad]).await.unwrap_err().code(), -32602);
    }
    let error = node.try_ask("eth_getLogs", rpc_params![json!({"blockHash": B256::ZERO})]).await.unwrap_err();
    assert_eq!(error.code(), -32001);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_and_answers_are_limited() {
    let mut config = config();
    config.eth.max_blocks_per_filter = 2;
    config.eth.max_logs_per_response = 2;
    let node = Node::with(config).await;
    let contract = node.deploy(0).await;
    for nonce in 1..4 {
        log(&node, contract, nonce, 0x44).await;
    }
    node.mine();
    node.mine();
    let error = node.try_ask("eth_getLogs", rpc_params![json!({"fromBlock": "0x0"})]).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (-32602, "query exceeds max block range 2"));
    let error = node.try_ask("eth_getLogs", rpc_params![json!({"fromBlock": "0x1"})]).await.unwrap_err();
    assert_eq!(error.message(), "query exceeds max results 2, retry with the range 1-1");
    let one = json!({"fromBlock": "0x2", "toBlock": "0x2"});
    assert_eq!(
        node.ask("eth_getLogs", rpc_params![one]).await.as_array().unwrap().len(),
        3,
        "a single block is whole"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_tell_what_is_new_once() {
    let node = Node::start().await;
    let contract = node.deploy(0).await;
    let blocks = node.ask("eth_newBlockFilter", rpc_params![]).await;
    let logs = node.ask("eth_newFilter", rpc_params![json!({"address": contract})]).await;
    let pending = node.ask("eth_newPendingTransactionFilter", rpc_params![]).await;
    let full = node.ask("eth_newPendingTransactionFilter", rpc_params![true]).await;
    let hash = log(&node, contract, 1, 0x55).await;
    let block = node.mine();
    assert_eq!(node.ask("eth_getFilterChanges", rpc_params![&blocks]).await, json!([block.hash()]));
    assert_eq!(node.ask("eth_getFilterChanges", rpc_params![&blocks]).await, json!([]));
    assert_eq!(topics(&node.ask("eth_getFilterChanges", rpc_params![&logs]).await), ["55"]);
    assert_eq!(node.ask("eth_getFilterChanges", rpc_params![&logs]).await, json!([]));
    assert_eq!(
        topics(&node.ask("eth_getFilterLogs", rpc_params![&logs]).await),
        ["55"],
        "no range: the head"
    );
    assert_eq!(node.ask("eth_getFilterChanges", rpc_params![&pending]).await, json!([hash]));
    assert_eq!(node.ask("eth_getFilterChanges", rpc_params![&full]).await[0]["hash"], json!(hash));
    assert_eq!(node.ask("eth_uninstallFilter", rpc_params![&blocks]).await, true);
    assert_eq!(node.ask("eth_uninstallFilter", rpc_params![&blocks]).await, false);
    let error = node.try_ask("eth_getFilterChanges", rpc_params![&blocks]).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (-32000, "filter not found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_takes_back_logs_of_blocks_that_left() {
    let node = Node::start().await;
    let contract = node.deploy(0).await;
    let fork = node.chain.head().hash();
    let logs = node.ask("eth_newFilter", rpc_params![json!({"address": contract})]).await;
    log(&node, contract, 1, 0x66).await;
    node.mine();
    assert_eq!(topics(&node.ask("eth_getFilterChanges", rpc_params![&logs]).await), ["66"]);
    node.mine_on(fork, 3, false);
    let taken_back = node.ask("eth_getFilterChanges", rpc_params![&logs]).await;
    assert_eq!(topics(&taken_back), ["66"]);
    assert_eq!(taken_back[0]["removed"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_nobody_polls_goes_away() {
    let mut config = config();
    config.eth.stale_filter_ttl = Duration::from_millis(50);
    let node = Node::with(config).await;
    let filter = node.ask("eth_newBlockFilter", rpc_params![]).await;
    node.ask("eth_getFilterChanges", rpc_params![&filter]).await;
    tokio::time::sleep(Duration::from_millis(80)).await;
    assert!(node.try_ask("eth_getFilterChanges", rpc_params![&filter]).await.is_err());
}

/// Installed filters were counted and not weighed: 120 filters of 330,000 addresses took 1.5 GiB.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_filter_names_is_limited() {
    let node = Node::start().await;
    let names =
        |count: u64| (0..count).map(|n| Address::left_padding_from(&n.to_be_bytes())).collect::<Vec<_>>();
    let topics =
        |count: u64| (0..count).map(|n| B256::left_padding_from(&n.to_be_bytes())).collect::<Vec<_>>();
    for method in ["eth_newFilter", "eth_getLogs"] {
        let most = json!({"address": names(1_000), "topics": [null, topics(1_000)]});
        assert!(node.try_ask(method, rpc_params![most]).await.is_ok(), "{method}");
        for (filter, text) in [
            (json!({"address": names(1_001)}), "exceed max addresses"),
            (json!({"topics": [null, null, null, topics(1_001)]}), "exceed max topics"),
        ] {
            let error = node.try_ask(method, rpc_params![filter]).await.unwrap_err();
            assert_eq!((error.code(), error.message()), (-32602, text), "{method}");
        }
        let five = json!({"topics": [null, null, null, null, null]});
        assert_eq!(node.try_ask(method, rpc_params![five]).await.unwrap_err().code(), -32602);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_filters_together_take_a_bounded_room() {
    let node = Node::start().await;
    let topics: Vec<_> = (0..1_000_u64).map(|n| B256::left_padding_from(&n.to_be_bytes())).collect();
    let filter = json!({"topics": [topics, topics, topics, topics]});
    let mut installed = Vec::new();
    let refusal = loop {
        match node.try_ask("eth_newFilter", rpc_params![&filter]).await {
            Ok(id) => installed.push(id),
            Err(error) => break error,
        }
        assert!(installed.len() < 1_000);
    };
    assert_eq!((refusal.code(), refusal.message()), (-32005, "too many filters: at most 64 MiB of them"));
    node.ask("eth_uninstallFilter", rpc_params![&installed[0]]).await;
    node.ask("eth_newFilter", rpc_params![&filter]).await;
}

/// Forty searches at a time took every core from the engine.
#[tokio::test(flavor = "multi_thread")]
async fn few_searches_for_logs_run_at_a_time() {
    let mut config = config();
    config.eth.max_concurrent_log_queries = 2;
    let node = Node::with(config).await;
    let contract = node.deploy(0).await;
    let (running, (release, gate)) = (Arc::new(AtomicUsize::new(0)), std::sync::mpsc::channel::<()>());
    let gate = Arc::new(std::sync::Mutex::new(gate));
    let context = node.modules.context().clone();
    let searches: Vec<_> = (0..2)
        .map(|_| {
            let (context, running, gate) = (context.clone(), running.clone(), gate.clone());
            tokio::spawn(async move {
                let search = move |_: &_| {
                    running.fetch_add(1, Ordering::SeqCst);
                    gate.lock().unwrap().recv().map_err(|_| tributary_rpc::RpcError::TransactionNotFound)
                };
                context.run(Lane::Logs, search).await
            })
        })
        .collect();
    while running.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let other = node.ask("eth_getLogs", rpc_params![json!({"address": contract})]);
    let mut other = std::pin::pin!(other);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut other).await.is_err(), "it waits");
    assert_ne!(node.ask("eth_getBalance", rpc_params![Address::ZERO]).await, Value::Null, "others do not");
    release.send(()).unwrap();
    assert_eq!(other.await, json!([]));
    release.send(()).unwrap();
    for search in searches {
        search.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_is_not_polled_does_not_keep_transactions() {
    let node = Node::start().await;
    let filter = node.ask("eth_newPendingTransactionFilter", rpc_params![true]).await;
    let mut listener = node.pool.subscribe_pending();
    let hash = node.send(0, transfer(Address::ZERO, 1, 0)).await;
    let tx = Arc::downgrade(&listener.recv().await.unwrap());
    drop(listener);
    node.mine();
    let gone = async {
        while tx.upgrade().is_some() {
            node.pool.sync();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("nobody keeps the transaction");
    assert_eq!(node.ask("eth_getFilterChanges", rpc_params![&filter]).await[0]["hash"], json!(hash));
    assert_eq!(node.ask("eth_getFilterChanges", rpc_params![&filter]).await, json!([]));
    let later = node.ask("eth_newPendingTransactionFilter", rpc_params![]).await;
    assert_eq!(node.ask("eth_getFilterChanges", rpc_params![&later]).await, json!([]), "what came before it");
}
