//! What `eth_sendRawTransaction` refuses, and in which words.

use crate::node::{Node, account, transfer};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use jsonrpsee::rpc_params;

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
    assert!(
        refused(&node, Bytes::from_static(b"\x02\xff"))
            .await
            .starts_with("failed to decode signed transaction")
    );
    for forced in [0x7e, 0x7d, 0x03] {
        assert_eq!(refused(&node, vec![forced, 0xc0]).await, "transaction type not supported");
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
