//! `debug_executePayload`, as a fault proof's host asks for it.

use alloy_primitives::B256;
use serde_json::json;
use tributary_evm::Witness;

use crate::node::{Node, deposit, hash_of, raw};

#[tokio::test(flavor = "multi_thread")]
async fn attributes_give_the_witness_of_the_block_they_describe() {
    let node = Node::start().await;
    node.advance().await;
    let head = node.chain.head();
    // The pool has something that the attributes do not force in.
    node.send(&node.transfer(0));
    let mut attributes = node.attributes(&head);
    attributes["transactions"].as_array_mut().unwrap().push(json!(raw(&deposit(5))));
    let witness = node.ask("debug_executePayload", json!([head.hash(), attributes])).await;
    let witness: Witness = serde_json::from_value(witness).unwrap();
    assert_eq!(node.chain.head().hash(), head.hash(), "nothing moved");

    attributes["noTxPool"] = json!(true);
    let envelope = node.build_on(head.hash(), attributes.clone()).await;
    let block = node.chain.block_by_hash(hash_of(&envelope)).unwrap().unwrap();
    assert_eq!(block.transactions().len(), 2);
    let executed = node.chain.executor().execute_stateless((*block).clone(), &witness).unwrap();
    assert_eq!(executed.block.hash(), block.hash());

    // The same as of the block itself, once it is there.
    let of_block = node.ask("debug_executionWitness", json!([block.hash()])).await;
    assert_eq!(serde_json::from_value::<Witness>(of_block).unwrap(), witness);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_built_has_no_witness() {
    let node = Node::start().await;
    let head = node.chain.head();
    let attributes = node.attributes(&head);
    let unknown =
        node.call("debug_executePayload", json!([B256::repeat_byte(1), attributes])).await.unwrap_err();
    assert!(unknown.1.starts_with("block not found"), "{unknown:?}");
    let mut endless = attributes.clone();
    endless["gasLimit"] = json!("0x7fffffffffffffff");
    let refused = node.call("debug_executePayload", json!([head.hash(), endless])).await.unwrap_err();
    assert_eq!(refused.0, -32005, "{refused:?}");
    for (key, value) in [
        ("gasLimit", json!(null)),
        ("timestamp", json!("0x1")),
        ("eip1559Params", json!("0x0000000000000001")),
        ("transactions", json!(["0x7e01"])),
        // The transaction's sender has not that nonce.
        ("transactions", json!([raw(&node.transfer(9))])),
    ] {
        let mut bad = attributes.clone();
        bad[key] = value;
        let refused = node.call("debug_executePayload", json!([head.hash(), bad])).await.unwrap_err();
        assert_eq!(refused.0, -32602, "{key}: {refused:?}");
    }
}
