//! What `eth_sendRawTransaction` refuses, and in which words.

use crate::node::{Node, account, config, transfer};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use jsonrpsee::rpc_params;
use serde_json::json;
use tributary_rpc::{EthConfig, Forwarder, RpcConfig};

async fn refused(node: &Node, raw: impl Into<Bytes>) -> String {
    let error = node.try_ask("eth_sendRawTransaction", rpc_params![raw.into()]).await.unwrap_err();
    assert!([-32000, -32602].contains(&error.code()), "{error:?}");
    error.message().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_says_why() {
    let node = Node::start().await;
    let to = Address::repeat_byte(5);
    let tx = |change: fn(&mut TxEip1559)| {
        let mut tx = transfer(to, 1, 0);
        change(&mut tx);
        node.sign(0, tx)
    };
    assert_eq!(refused(&node, tx(|tx| tx.chain_id = 1)).await, "invalid chain ID: have 1, want 161299");
    assert!(refused(&node, tx(|tx| tx.gas_limit = 20_999)).await.starts_with("intrinsic gas too low"));
    assert!(refused(&node, tx(|tx| tx.gas_limit = 40_000_000)).await.contains("gas limit"));
    assert!(refused(&node, tx(|tx| tx.gas_limit = (1 << 24) + 1)).await.contains("16777216"));
    assert!(
        refused(&node, tx(|tx| tx.value = U256::MAX))
            .await
            .starts_with("insufficient funds for gas * price + value")
    );
    assert!(
        refused(&node, tx(|tx| tx.max_priority_fee_per_gas = u128::MAX))
            .await
            .contains("max priority fee per gas higher")
    );
    assert!(refused(&node, tx(|tx| tx.max_fee_per_gas = 1)).await.starts_with("transaction underpriced"));
    assert!(
        refused(&node, tx(|tx| tx.max_fee_per_gas = 1 << 80)).await.contains("exceeds the configured cap")
    );
    assert!(
        refused(&node, tx(|tx| tx.input = vec![1; 130 << 10].into())).await.starts_with("oversized data")
    );
    let creation = |tx: &mut TxEip1559| (tx.to, tx.input) = (TxKind::Create, vec![1; 50_000].into());
    assert!(refused(&node, tx(creation)).await.starts_with("max initcode size exceeded"));
    assert!(refused(&node, Bytes::new()).await.contains("empty"));
    for junk in [&[0x02, 0xff][..], &[0xde, 0xad, 0xbe, 0xef], &[0x12, 0x34], &[0x7e, 0xc0], &[0x03, 0xc0]] {
        let raw = Bytes::copy_from_slice(junk);
        let error = node.try_ask("eth_sendRawTransaction", rpc_params![raw]).await.unwrap_err();
        assert_eq!(error.code(), -32602, "{error:?}");
        assert!(error.message().starts_with("failed to decode signed transaction"), "{error:?}");
    }
    for forced in [0x7e, 0x7d, 0x03] {
        let text = "failed to decode signed transaction: transaction type not supported";
        assert_eq!(refused(&node, vec![forced, 0xc0]).await, text);
    }
    assert_eq!(node.pool.status().pending, 0, "nothing got in");
}

#[tokio::test(flavor = "multi_thread")]
async fn nonces_and_replacements() {
    let node = Node::start().await;
    let first = node.sign(0, transfer(Address::ZERO, 1, 0));
    node.ask("eth_sendRawTransaction", rpc_params![&first]).await;
    assert_eq!(refused(&node, first.clone()).await, "already known");
    let cheaper = node.sign(0, transfer(Address::ZERO, 2, 0));
    assert_eq!(refused(&node, cheaper).await, "replacement transaction underpriced");
    let mut dearer = transfer(Address::ZERO, 3, 0);
    dearer.max_fee_per_gas = 11_000_000_000;
    let dearer = node.send(0, dearer).await;
    let block = node.mine();
    assert_eq!(block.transactions()[1].tx_hash(), dearer);
    assert_eq!(refused(&node, first).await, "nonce too low: next nonce 1, tx nonce 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_brings_transactions_back() {
    let node = Node::start().await;
    let hash = node.send(2, transfer(Address::ZERO, 1, 0)).await;
    let genesis = node.chain.head().hash();
    node.mine();
    assert_eq!(node.pool.status().pending, 0);
    let other = node.mine_on(genesis, 3, false);
    assert_eq!(node.chain.head().hash(), other.hash());
    assert_eq!(node.pool.status().pending, 1);
    assert!(node.pool.get(&hash).is_some());
    assert_eq!(node.ask("eth_getTransactionReceipt", rpc_params![hash]).await, serde_json::Value::Null);
    let block = node.mine();
    assert_eq!(block.transactions()[1].tx_hash(), hash);
    assert_eq!(node.ask("eth_getTransactionCount", rpc_params![account(2).address(), "latest"]).await, "0x1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_sends_on_and_passes_refusals_back() {
    let sequencer = Node::start().await;
    for retain in [false, true] {
        let forwarder = Forwarder::new(&sequencer.url(), http::HeaderMap::new(), retain).unwrap();
        let replica = Node::replica(config(), Some(forwarder)).await;
        let raw = replica.sign(0, transfer(Address::repeat_byte(5), 1, u64::from(retain)));
        let hash = replica.ask("eth_sendRawTransaction", rpc_params![&raw]).await;
        assert_eq!(hash, json!(alloy_primitives::keccak256(&raw)));
        assert_eq!(replica.pool.status().pending, 0, "the second one waits for its nonce");
        assert_eq!(replica.pool.status().queued, usize::from(retain));
        let again = replica.try_ask("eth_sendRawTransaction", rpc_params![&raw]).await.unwrap_err();
        assert_eq!((again.code(), again.message()), (-32000, "already known"));
        let broken = replica.try_ask("eth_sendRawTransaction", rpc_params!["0x02ff"]).await.unwrap_err();
        assert!(broken.message().starts_with("failed to decode"), "not even sent on: {broken:?}");
    }
    assert_eq!(sequencer.pool.status().pending, 2);
    let nobody = Forwarder::new("http://127.0.0.1:1", http::HeaderMap::new(), false).unwrap();
    let orphan = Node::replica(config(), Some(nobody)).await;
    let raw = orphan.sign(0, transfer(Address::repeat_byte(5), 1, 0));
    let error = orphan.try_ask("eth_sendRawTransaction", rpc_params![&raw]).await.unwrap_err();
    assert!(error.message().contains("sequencer does not answer"), "{error:?}");
    assert!(Forwarder::new("not a url", http::HeaderMap::new(), false).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_may_be_the_receipt() {
    let node = Node::start().await;
    let raw = node.sign(0, transfer(Address::repeat_byte(5), 1, 0));
    let late = node.try_ask("eth_sendRawTransactionSync", rpc_params![&raw, 50]).await.unwrap_err();
    let hash = alloy_primitives::keccak256(&raw);
    assert_eq!((late.code(), late.data().unwrap().get()), (4, format!("\"{hash}\"").as_str()));
    let raw = node.sign(0, transfer(Address::repeat_byte(5), 1, 1));
    let mine = async {
        while node.pool.status().pending < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        node.mine();
    };
    let (receipt, ()) = tokio::join!(node.ask("eth_sendRawTransactionSync", rpc_params![&raw]), mine);
    assert_eq!((&receipt["status"], &receipt["blockNumber"]), (&json!("0x1"), &json!("0x1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_is_checked_when_sent_and_when_included() {
    let plain = Node::start().await;
    let raw = plain.sign(0, transfer(Address::repeat_byte(5), 1, 0));
    let method = "eth_sendRawTransactionConditional";
    assert_eq!(plain.try_ask(method, rpc_params![&raw, json!({})]).await.unwrap_err().code(), -32601);

    let node =
        Node::with(RpcConfig { eth: EthConfig { tx_conditional: true, ..EthConfig::default() }, ..config() })
            .await;
    node.mine();
    let at = Address::repeat_byte(0x77);
    let slot = |value: u8| json!({ at.to_string(): { "0x0": B256::with_last_byte(value) } });
    let empty_root = alloy_trie::EMPTY_ROOT_HASH;
    let many: serde_json::Map<_, _> =
        (0..1001_u64).map(|index| (format!("{index:#x}"), json!(B256::ZERO))).collect();
    for (condition, code) in [
        (json!({ "blockNumberMin": "0x5" }), -32003),
        (json!({ "blockNumberMax": "0x0" }), -32003),
        (json!({ "timestampMax": "0x1" }), -32003),
        (json!({ "blockNumberMin": "0x2", "blockNumberMax": "0x1" }), -32003),
        (json!({ "knownAccounts": slot(1) }), -32003),
        (json!({ "knownAccounts": { at.to_string(): B256::ZERO } }), -32003),
        (json!({ "knownAccounts": { at.to_string(): many } }), -32005),
        (json!({ "blockNumberMin": "five" }), -32602),
    ] {
        let error = node.try_ask(method, rpc_params![&raw, &condition]).await.unwrap_err();
        assert_eq!(error.code(), code, "{condition}: {error:?}");
    }
    node.ask(method, rpc_params![&raw, json!({ "knownAccounts": slot(0), "blockNumberMax": "0x2" })]).await;
    let root = json!({ "knownAccounts": { at.to_string(): empty_root }, "blockNumberMax": "0x1" });
    let late = node.sign(1, transfer(Address::repeat_byte(5), 1, 0));
    node.ask(method, rpc_params![&late, root]).await;
    let head = node.chain.head();
    let base_fee = node.pool.base_fee();
    assert!(node.pool.best(head.hash(), base_fee).next_pooled().is_none(), "nobody said for which block");
    let mut best = node.pool.best(head.hash(), base_fee).for_block(2, head.timestamp + 2);
    assert_eq!(best.next_pooled().unwrap().encoded().as_ref(), raw.as_ref());
    assert!(best.next_pooled().is_none());
    assert_eq!(node.pool.status().pending, 1, "what is over leaves the pool");
    node.pool.best(head.hash(), base_fee).for_block(3, head.timestamp + 2).next_pooled();
    assert_eq!(node.pool.status().pending, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_clears_the_pool() {
    let node = Node::start().await;
    for nonce in [0, 1, 5] {
        node.send(0, transfer(Address::ZERO, 1, nonce)).await;
    }
    assert_eq!(node.ask("admin_clearTxpool", rpc_params![]).await, 3);
    assert_eq!(node.ask("txpool_status", rpc_params![]).await, json!({"pending": "0x0", "queued": "0x0"}));
    assert_eq!(node.ask("admin_clearTxpool", rpc_params![]).await, 0);
    node.send(0, transfer(Address::ZERO, 1, 0)).await;
    assert_eq!(node.mine().transactions().len(), 2, "the same one may come again");
}
