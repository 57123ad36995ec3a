//! Gaps are closed from peers.

use alloy_primitives::{Address, B256};
use alloy_rpc_types_engine::PayloadStatusEnum;

use crate::node::{Node, eventually, hash_at};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chosen_head_is_fetched_with_all_its_ancestors() {
    let (source, fresh) = (Node::start().await, Node::start().await);
    source.seal(400);
    fresh.call(&source);
    eventually("connected", || fresh.network.peers().len() == 1).await;
    let finalized = hash_at(&source, 350);
    assert_eq!(fresh.choose(source.head(), finalized), PayloadStatusEnum::Syncing);
    eventually("synced", || fresh.head() == source.head()).await;
    eventually("labels", || fresh.chain.finalized().is_some_and(|block| block.hash() == finalized)).await;
    assert_eq!(fresh.choose(source.head(), finalized), PayloadStatusEnum::Valid);
    for number in [1, 128, 399] {
        assert_eq!(hash_at(&fresh, number), hash_at(&source, number));
        let block = fresh.chain.block_by_number(number).unwrap().unwrap();
        assert_eq!(*block, *source.chain.block_by_number(number).unwrap().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sync_begins_when_a_peer_comes_and_follows_the_newest_choice() {
    let (source, fresh) = (Node::start().await, Node::start().await);
    source.seal(30);
    assert_eq!(fresh.choose(hash_at(&source, 20), B256::ZERO), PayloadStatusEnum::Syncing);
    assert_eq!(fresh.choose(source.head(), B256::ZERO), PayloadStatusEnum::Syncing);
    assert_eq!(fresh.chain.head().number, 0);
    fresh.call(&source);
    eventually("synced", || fresh.head() == source.head()).await;
    source.seal(5);
    assert_eq!(fresh.choose(source.head(), B256::ZERO), PayloadStatusEnum::Syncing);
    eventually("synced again", || fresh.head() == source.head()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_nobody_has_disturbs_nothing() {
    let (source, fresh) = (Node::start().await, Node::start().await);
    source.seal(3);
    fresh.call(&source);
    eventually("connected", || fresh.network.peers().len() == 1).await;
    assert_eq!(fresh.choose(B256::repeat_byte(0x5a), B256::ZERO), PayloadStatusEnum::Syncing);
    // It is asked for again and again, and who does not have it does nothing wrong.
    tokio::time::sleep(std::time::Duration::from_secs(12)).await;
    assert_eq!(fresh.network.peers().len(), 1);
    assert_eq!(fresh.choose(source.head(), B256::ZERO), PayloadStatusEnum::Syncing);
    eventually("synced", || fresh.head() == source.head()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_is_fetched_from_where_it_forks() {
    let (left, right, fresh) = (Node::start().await, Node::start().await, Node::start().await);
    left.seal(8);
    right.call(&left);
    assert_eq!(right.choose(left.head(), B256::ZERO), PayloadStatusEnum::Syncing);
    eventually("synced", || right.head() == left.head()).await;
    left.seal(4);
    right.seal_for(Address::repeat_byte(7), 3);
    assert_ne!(hash_at(&left, 9), hash_at(&right, 9));

    fresh.call(&left);
    fresh.call(&right);
    for head in [right.head(), left.head()] {
        assert_eq!(fresh.choose(head, B256::ZERO), PayloadStatusEnum::Syncing);
        eventually("on that branch", || fresh.head() == head).await;
    }
    assert_eq!(fresh.choose(right.head(), B256::ZERO), PayloadStatusEnum::Valid, "both are here");
}
