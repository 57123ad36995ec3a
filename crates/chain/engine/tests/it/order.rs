//! Payloads in the wrong order.

use serde_json::{Value, json};

use crate::node::{Node, forged, hash_of};

/// Blocks that another node of the same chain built.
async fn foreign_blocks(count: usize) -> Vec<Value> {
    let other = Node::start().await;
    let mut blocks = Vec::with_capacity(count);
    for nonce in 0..count as u64 {
        other.send(&other.transfer(nonce));
        blocks.push(other.advance().await);
    }
    blocks
}

#[tokio::test(flavor = "multi_thread")]
async fn the_missing_parent_brings_in_all_that_waited() {
    let blocks = foreign_blocks(6).await;
    let node = Node::start().await;
    for block in blocks[1..].iter().rev() {
        let status = node.new_payload(block).await;
        assert_eq!((&status["status"], &status["latestValidHash"]), (&json!("SYNCING"), &Value::Null));
    }
    let head = hash_of(&blocks[5]);
    assert_eq!(node.choose(head).await["status"], "SYNCING");
    assert_eq!(node.new_payload(&blocks[0]).await["status"], "VALID");
    assert_eq!(node.choose(head).await["status"], "VALID");
    assert_eq!(node.chain.head().hash(), head);
    for block in &blocks {
        assert_eq!(node.new_payload(block).await["latestValidHash"], json!(hash_of(block)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_block_among_those_that_waited_spoils_its_descendants_only() {
    let blocks = foreign_blocks(3).await;
    let node = Node::start().await;
    let bad = forged(&blocks[1], |payload| payload["gasUsed"] = json!("0x1"));
    let child = forged(&blocks[2], |payload| payload["parentHash"] = json!(hash_of(&bad)));
    for block in [&child, &bad, &blocks[2], &blocks[1]] {
        assert_eq!(node.new_payload(block).await["status"], "SYNCING");
    }
    assert_eq!(node.new_payload(&blocks[0]).await["status"], "VALID");
    assert_eq!(node.choose(hash_of(&blocks[2])).await["status"], "VALID");
    let first = json!(hash_of(&blocks[0]));
    for block in [&bad, &child] {
        let chosen = loop {
            let chosen = node.choose(hash_of(block)).await;
            if chosen["status"] != "SYNCING" {
                break chosen;
            }
        };
        assert_eq!((&chosen["status"], &chosen["latestValidHash"]), (&json!("INVALID"), &first), "{chosen}");
    }
    assert_eq!(node.chain.head().hash(), hash_of(&blocks[2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_payload_from_many_callers_at_once_is_valid_for_all() {
    let blocks = foreign_blocks(1).await;
    let node = Node::start().await;
    let calls = (0..8).map(|_| node.new_payload(&blocks[0]));
    for status in futures::future::join_all(calls).await {
        assert_eq!(status["status"], "VALID");
    }
}
