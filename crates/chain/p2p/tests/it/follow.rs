//! A replica without a rollup node follows what the sequencer signs.

use tributary_p2p::{NetworkConfig, PeerKind};

use crate::node::{Node, config, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_follows_and_backfills() {
    let sequencer = Node::sequencer().await;
    sequencer.seal(3);
    let replica = Node::replica().await;
    replica.call(&sequencer);
    eventually("connected", || sequencer.network.peers().len() == 1).await;
    // What is sealed before the mesh stands is fetched.
    eventually("followed", || {
        sequencer.seal(1);
        std::thread::sleep(std::time::Duration::from_millis(1_000));
        replica.chain.head().number > 4
    })
    .await;
    eventually("equal", || replica.head() == sequencer.head()).await;
    assert!(replica.chain.safe().is_none(), "unsafe blocks only");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_pass_from_replica_to_replica() {
    let (sequencer, middle, last) = (Node::sequencer().await, Node::replica().await, Node::replica().await);
    middle.call(&sequencer);
    last.call(&middle);
    eventually("connected", || middle.network.peers().len() == 2).await;
    eventually("followed", || {
        sequencer.seal(1);
        std::thread::sleep(std::time::Duration::from_millis(1_000));
        last.chain.head().number > 2
    })
    .await;
    assert_eq!(last.network.peers().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_signers_blocks_are_not_followed_and_their_bearer_is_dropped() {
    let stranger = "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a".parse().unwrap();
    let sequencer = Node::with(NetworkConfig { publish: Some(stranger), ..config() }).await;
    let replica = Node::replica().await;
    replica.network.add_peer(sequencer.address(), PeerKind::Static);
    eventually("connected", || replica.network.peers().len() == 1).await;
    eventually("dropped", || {
        sequencer.seal(1);
        std::thread::sleep(std::time::Duration::from_millis(200));
        replica.network.peers().is_empty()
    })
    .await;
    assert_eq!(replica.chain.head().number, 0);
}
