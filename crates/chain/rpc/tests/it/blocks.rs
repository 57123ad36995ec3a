//! Blocks, transactions, receipts, state and fees.

use crate::node::{Node, account, number, transfer, verify};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, U256, address};
use alloy_provider::{Provider, ProviderBuilder};
use jsonrpsee::rpc_params;
use serde_json::{Value, json};

const MESSAGE_PASSER: Address = address!("4200000000000000000000000000000000000016");

#[tokio::test(flavor = "multi_thread")]
async fn genesis_is_there_under_each_of_its_names() {
    let node = Node::start().await;
    assert_eq!(node.ask("eth_chainId", rpc_params![]).await, format!("{:#x}", node.spec.chain_id()));
    assert_eq!(node.ask("net_version", rpc_params![]).await, node.spec.chain_id().to_string());
    assert_eq!(node.ask("eth_blockNumber", rpc_params![]).await, "0x0");
    assert_eq!(node.ask("eth_syncing", rpc_params![]).await, false);
    assert_eq!(node.ask("eth_accounts", rpc_params![]).await, json!([]));
    let hash = node.spec.genesis_hash();
    for name in ["0x0", "earliest", "latest", "pending"] {
        let block = node.ask("eth_getBlockByNumber", rpc_params![name, false]).await;
        assert_eq!(block["hash"], json!(hash), "{name}");
    }
    assert_eq!(node.ask("eth_getBlockByHash", rpc_params![hash, true]).await["number"], "0x0");
    assert_eq!(node.ask("eth_getBlockByNumber", rpc_params!["0x10", false]).await, Value::Null);
    assert_eq!(node.ask("eth_getBlockByHash", rpc_params![B256::ZERO, false]).await, Value::Null);
    assert_eq!(node.ask("eth_getBlockByNumber", rpc_params!["finalized", false]).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_seen_from_the_pool_to_its_receipt() {
    let node = Node::start().await;
    let (from, to) = (account(0).address(), Address::repeat_byte(0x77));
    let hash = node.send(0, transfer(to, 12_345, 0)).await;
    let pooled = node.ask("eth_getTransactionByHash", rpc_params![hash]).await;
    assert_eq!((pooled["blockHash"].clone(), pooled["from"].clone()), (Value::Null, json!(from)));
    assert_eq!(node.ask("eth_getTransactionReceipt", rpc_params![hash]).await, Value::Null);
    assert_eq!(node.ask("eth_getTransactionCount", rpc_params![from, "pending"]).await, "0x1");
    assert_eq!(node.ask("eth_getTransactionCount", rpc_params![from, "latest"]).await, "0x0");
    let status = node.ask("txpool_status", rpc_params![]).await;
    assert_eq!((number(&status["pending"]), number(&status["queued"])), (1, 0));

    let block = node.mine();
    assert_eq!(node.ask("txpool_status", rpc_params![]).await["pending"], "0x0");
    assert_eq!(node.ask("eth_getBalance", rpc_params![to, "latest"]).await, "0x3039");
    assert_eq!(node.ask("eth_getBalance", rpc_params![to, "0x0"]).await, "0x0");
    assert_eq!(node.ask("eth_getTransactionCount", rpc_params![from, "pending"]).await, "0x1");

    let mined = node.ask("eth_getTransactionByHash", rpc_params![hash]).await;
    assert_eq!(mined["blockHash"], json!(block.hash()));
    assert_eq!(mined["transactionIndex"], "0x1");
    let at = node.ask("eth_getTransactionByBlockNumberAndIndex", rpc_params!["0x1", "0x1"]).await;
    assert_eq!(at, mined);
    let at = node.ask("eth_getTransactionByBlockHashAndIndex", rpc_params![block.hash(), "0x1"]).await;
    assert_eq!(at, mined);
    assert_eq!(
        node.ask("eth_getTransactionByBlockNumberAndIndex", rpc_params!["0x1", "0x9"]).await,
        Value::Null
    );
    assert_eq!(node.ask("eth_getBlockTransactionCountByNumber", rpc_params!["0x1"]).await, "0x2");
    assert_eq!(node.ask("eth_getUncleCountByBlockNumber", rpc_params!["0x1"]).await, "0x0");

    let receipt = node.ask("eth_getTransactionReceipt", rpc_params![hash]).await;
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(receipt["gasUsed"], "0x5208");
    let all = node.ask("eth_getBlockReceipts", rpc_params!["latest"]).await;
    assert_eq!(all[1], receipt);
    assert_eq!(all.as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_and_deposits_have_the_op_stacks_fields() {
    let node = Node::start().await;
    let hash = node.send(0, transfer(Address::ZERO, 1, 0)).await;
    let before: U256 = node
        .ask("eth_getBalance", rpc_params![account(0).address(), "latest"])
        .await
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    node.mine();
    let after: U256 = node
        .ask("eth_getBalance", rpc_params![account(0).address(), "latest"])
        .await
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let receipt = node.ask("eth_getTransactionReceipt", rpc_params![hash]).await;
    assert_eq!(receipt["l1GasPrice"], "0x3b9aca00");
    assert_eq!(receipt["l1BaseFeeScalar"], "0x558");
    assert_eq!(receipt["l1BlobBaseFee"], "0x1");
    assert_eq!(receipt["l1BlobBaseFeeScalar"], "0xc5fc5");
    assert_eq!(
        (&receipt["operatorFeeScalar"], &receipt["operatorFeeConstant"]),
        (&json!("0x0"), &json!("0x7"))
    );
    assert_eq!(receipt["daFootprintGasScalar"], "0x190");
    assert_eq!(number(&receipt["blobGasUsed"]) % 400, 0);
    let paid =
        number(&receipt["gasUsed"]) * number(&receipt["effectiveGasPrice"]) + number(&receipt["l1Fee"]) + 7;
    assert_eq!(before - after, U256::from(paid + 1), "what the receipt says is what was paid");

    let block = node.ask("eth_getBlockByNumber", rpc_params!["latest", true]).await;
    let deposit = &block["transactions"][0];
    assert_eq!(deposit["type"], "0x7e");
    assert_eq!(deposit["nonce"], "0x0");
    assert_eq!(deposit["depositReceiptVersion"], "0x1");
    assert_eq!(deposit["sourceHash"], json!(B256::from(U256::ONE)));
    assert_eq!(deposit["gasPrice"], "0x0");
    let receipt = node.ask("eth_getTransactionReceipt", rpc_params![&deposit["hash"]]).await;
    assert_eq!((&receipt["depositNonce"], &receipt["depositReceiptVersion"]), (&json!("0x0"), &json!("0x1")));
    assert_eq!(receipt["effectiveGasPrice"], "0x0");
    assert!(receipt.get("l1Fee").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_hold_against_the_headers_root() {
    let node = Node::start().await;
    node.send(0, transfer(Address::repeat_byte(9), 5, 0)).await;
    node.mine();
    let provider = ProviderBuilder::new().connect_http(node.url().parse().unwrap());
    for (block, balance) in [(BlockId::latest(), 5), (BlockId::number(0), 0)] {
        let proof =
            provider.get_proof(Address::repeat_byte(9), vec![B256::ZERO]).block_id(block).await.unwrap();
        assert_eq!(proof.balance, U256::from(balance));
        let header = provider.get_block(block).await.unwrap().unwrap().header;
        verify(&proof, header.state_root);
    }
    // op-node asks with a bare hash.
    let head = node.chain.head();
    let proof = node.ask("eth_getProof", rpc_params![MESSAGE_PASSER, json!([]), head.hash()]).await;
    assert_eq!(proof["storageHash"], json!(head.withdrawals_root.unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_blocks_are_named_in_the_error() {
    let node = Node::start().await;
    let error = node.try_ask("eth_getBalance", rpc_params![Address::ZERO, "0x64"]).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (-32001, "block not found: 0x64"));
    let error = node.try_ask("eth_call", rpc_params![json!({}), "finalized"]).await.unwrap_err();
    assert_eq!(error.message(), "block not found: finalized");
    let error =
        node.try_ask("eth_getCode", rpc_params![Address::ZERO, json!({"blockHash": B256::ZERO})]).await;
    assert_eq!(error.unwrap_err().code(), -32001);
}

#[tokio::test(flavor = "multi_thread")]
async fn fees_are_suggested_and_remembered() {
    let node = Node::start().await;
    for nonce in 0..3 {
        let mut tx = transfer(Address::ZERO, 1, nonce);
        tx.max_priority_fee_per_gas = 1_000_000_000 * u128::from(nonce + 1);
        node.send(0, tx).await;
        node.mine();
    }
    assert_eq!(node.ask("eth_maxPriorityFeePerGas", rpc_params![]).await, "0xf4240");
    let price = number(&node.ask("eth_gasPrice", rpc_params![]).await);
    let history = node.ask("eth_feeHistory", rpc_params!["0x2", "latest", [0.0, 50.0, 100.0]]).await;
    assert_eq!(history["oldestBlock"], "0x2");
    let base_fees = history["baseFeePerGas"].as_array().unwrap();
    assert_eq!(base_fees.len(), 3);
    assert_eq!(price, number(&base_fees[2]) + 1_000_000);
    assert_eq!(history["gasUsedRatio"].as_array().unwrap().len(), 2);
    assert_eq!(history["reward"][1], json!(["0xb2d05e00", "0xb2d05e00", "0xb2d05e00"]));
    let decimal = node.ask("eth_feeHistory", rpc_params![1, "latest"]).await;
    assert!(decimal.get("reward").is_none());
    let error = node.try_ask("eth_feeHistory", rpc_params!["0x1", "latest", [50.0, 10.0]]).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (-32602, "invalid reward percentiles"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pool_is_shown_by_sender_and_nonce() {
    let node = Node::start().await;
    let from = account(1).address();
    node.send(1, transfer(Address::ZERO, 1, 0)).await;
    node.send(1, transfer(Address::ZERO, 2, 5)).await;
    let content = node.ask("txpool_contentFrom", rpc_params![from]).await;
    assert_eq!(content["pending"]["0"]["value"], "0x1");
    assert_eq!(content["queued"]["5"]["value"], "0x2");
    let inspect = node.ask("txpool_inspect", rpc_params![]).await;
    let line = inspect["pending"][from.to_checksum(None)]["0"].as_str().unwrap();
    assert!(line.ends_with(": 1 wei + 200000 gas × 10000000000 wei"), "{line}");
    let content = node.ask("txpool_content", rpc_params![]).await;
    assert!(content["queued"][from.to_checksum(None)]["5"].is_object());
}
