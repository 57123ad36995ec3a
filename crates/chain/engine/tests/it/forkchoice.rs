//! Heads and labels.

use alloy_primitives::B256;
use serde_json::{Value, json};

use crate::node::{Node, hash_of, state};

#[tokio::test(flavor = "multi_thread")]
async fn labels_move_both_ways_and_zero_leaves_them() {
    let node = Node::start().await;
    let mut blocks = vec![node.spec.genesis_hash()];
    for _ in 0..4 {
        blocks.push(hash_of(&node.advance().await));
    }
    let update = |head: usize, safe: usize, finalized: usize| {
        let at = |index: usize| if index == 9 { B256::ZERO } else { blocks[index] };
        json!([state(at(head), at(safe), at(finalized))])
    };
    let labels =
        || (node.chain.safe().map(|safe| safe.number), node.chain.finalized().map(|last| last.number));
    for (call, expected) in [
        (update(4, 9, 9), (None, None)),
        (update(4, 3, 2), (Some(3), Some(2))),
        (update(4, 9, 9), (Some(3), Some(2))),
        (update(4, 2, 1), (Some(2), Some(1))),
    ] {
        let answer = node.ask("engine_forkchoiceUpdatedV3", call).await;
        assert_eq!(answer["payloadStatus"]["status"], "VALID");
        assert_eq!(labels(), expected);
    }
    for (label, number) in [("safe", "0x2"), ("finalized", "0x1"), ("latest", "0x4")] {
        assert_eq!(node.ask("eth_getBlockByNumber", json!([label, false])).await["number"], number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_states_are_38002() {
    let node = Node::start().await;
    let first = hash_of(&node.advance().await);
    let unknown = B256::repeat_byte(9);
    for state in [
        state(B256::ZERO, B256::ZERO, B256::ZERO),
        state(first, unknown, B256::ZERO),
        state(first, B256::ZERO, unknown),
        state(node.spec.genesis_hash(), first, B256::ZERO),
    ] {
        assert_eq!(
            node.call("engine_forkchoiceUpdatedV3", json!([state])).await.unwrap_err().0,
            -38002,
            "{state}"
        );
    }
    assert_eq!(node.chain.head().hash(), first);
    assert_eq!(
        node.call("engine_forkchoiceUpdatedV3", json!([{ "headBlockHash": first }])).await.unwrap_err().0,
        -32602
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_head_is_syncing_whatever_the_labels_and_attributes() {
    let node = Node::start().await;
    let unknown = B256::repeat_byte(9);
    let attributes = node.attributes(&node.chain.head());
    let answer =
        node.ask("engine_forkchoiceUpdatedV3", json!([state(unknown, unknown, unknown), attributes])).await;
    assert_eq!(
        answer,
        json!({
            "payloadStatus": { "status": "SYNCING", "latestValidHash": null, "validationError": null },
            "payloadId": null,
        })
    );
    assert_eq!(node.chain.head().number, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ancestor_with_attributes_is_built_upon() {
    let node = Node::start().await;
    let first = hash_of(&node.advance().await);
    for _ in 0..3 {
        node.advance().await;
    }
    let parent = node.chain.header_by_hash(first).unwrap().unwrap();
    let mut attributes = node.attributes(&parent);
    attributes["prevRandao"] = json!(B256::repeat_byte(8));
    let other = node.build_on(first, attributes).await;
    assert_eq!(node.chain.head().hash(), first);
    assert_eq!(node.new_payload(&other).await["status"], "VALID");
    assert_eq!(node.chain.head().hash(), first, "a payload moves no head");
    assert_eq!(node.choose(hash_of(&other)).await["status"], "VALID");
    assert_eq!(node.chain.head().number, 2);
}

/// As op-reth: the head goes back when something is built there, not before; labels do at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_ancestor_alone_takes_nothing_back() {
    let node = Node::start().await;
    let mut blocks = vec![node.spec.genesis_hash()];
    for _ in 0..4 {
        blocks.push(hash_of(&node.advance().await));
    }
    let call = json!([state(blocks[2], blocks[1], blocks[1])]);
    let answer = node.ask("engine_forkchoiceUpdatedV3", call).await;
    assert_eq!(answer["payloadStatus"]["status"], "VALID");
    assert_eq!(answer["payloadStatus"]["latestValidHash"], json!(blocks[2]));
    assert_eq!(node.chain.head().hash(), blocks[4]);
    assert_eq!(node.chain.finalized().unwrap().hash(), blocks[1]);

    node.ask("debug_setHead", json!(["0x2"])).await;
    assert_eq!(node.chain.head().hash(), blocks[2]);
    assert_eq!(node.call("debug_setHead", json!(["0x7"])).await.unwrap_err().0, -32602);
    assert_eq!(node.call("debug_setHead", json!(["0x0"])).await.unwrap_err().0, -38002, "final");
}

#[tokio::test(flavor = "multi_thread")]
async fn head_and_labels_survive_a_restart_and_the_fork_choice_is_valid_at_once() {
    let node = Node::start().await;
    let mut blocks = Vec::new();
    for _ in 0..3 {
        blocks.push(hash_of(&node.advance().await));
    }
    let call = json!([state(blocks[2], blocks[1], blocks[0])]);
    node.ask("engine_forkchoiceUpdatedV3", call.clone()).await;
    let node = node.restart().await;
    assert_eq!(node.chain.head().hash(), blocks[2]);
    assert_eq!(node.chain.safe().unwrap().hash(), blocks[1]);
    assert_eq!(node.chain.finalized().unwrap().hash(), blocks[0]);
    assert_eq!(node.ask("engine_forkchoiceUpdatedV3", call).await["payloadStatus"]["status"], "VALID");
    node.advance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_finalized_block_is_not_undone() {
    let node = Node::start().await;
    let genesis = node.spec.genesis_hash();
    let first = hash_of(&node.advance().await);
    node.ask("engine_forkchoiceUpdatedV3", json!([state(first, first, first)])).await;
    let refused: Result<Value, _> =
        node.call("engine_forkchoiceUpdatedV3", json!([state(genesis, B256::ZERO, B256::ZERO)])).await;
    assert_eq!(refused.unwrap_err().0, -38002);
}
