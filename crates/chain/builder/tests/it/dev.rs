//! Dev sequencing.

use std::{sync::Arc, time::Duration};

use alloy_primitives::U256;
use tokio_util::sync::CancellationToken;
use tributary_builder::{
    BlockTime, DevConfig, DevError, DevSequencer, L1Attributes, PayloadBuilder, PayloadConfig,
};
use tributary_evm::{ExecutedBlock, Executor};
use tributary_pool::{Pool, PoolConfig};
use tributary_spec::{
    ChainSpec, DEV_GENESIS, Genesis, Tx,
    predeploys::{BASE_FEE_VAULT, L1_FEE_VAULT, OPERATOR_FEE_VAULT, SEQUENCER_FEE_VAULT},
};
use tributary_tree::{Chain, ChainConfig};

use crate::node::{TestNode, eventually};

fn l1(block: &ExecutedBlock) -> L1Attributes {
    let Tx::Deposit(deposit) = &block.block.transactions()[0] else { panic!("no deposit") };
    L1Attributes::decode(&deposit.input).unwrap()
}

#[test]
fn each_block_opens_with_what_l1_says() {
    let node = TestNode::new();
    let sequencer = node.sequencer(BlockTime::PerTransaction);
    let mut previous: Option<L1Attributes> = None;
    for number in 1..=20 {
        let block = sequencer.seal().unwrap();
        assert_eq!(block.block.number(), number);
        assert!(block.receipts[0].as_receipt().status.coerce_status());
        let now = l1(&block);
        assert!(now.timestamp <= block.block.header().timestamp);
        if let Some(previous) = previous {
            let same_origin = previous.number == now.number;
            let expected = if same_origin { previous.sequence_number + 1 } else { 0 };
            assert_eq!(now.sequence_number, expected);
            assert!(same_origin || now.number > previous.number);
        }
        previous = Some(now);
    }
    let head = node.chain.head();
    assert_eq!(head.number, 20);
    assert_eq!(node.chain.safe().unwrap().hash(), head.hash());
    assert_eq!(node.chain.finalized().unwrap().hash(), head.hash());
}

#[test]
fn a_block_takes_what_the_pool_has_and_charges_every_fee() {
    let node = TestNode::new();
    node.send(0, 0);
    node.send(0, 1);
    node.send(1, 0);
    let block = node.sequencer(BlockTime::PerTransaction).seal().unwrap();
    assert_eq!(block.block.transactions().len(), 4);
    assert!(block.receipts.iter().all(|receipt| receipt.as_receipt().status.coerce_status()));
    let state = node.chain.state_at(block.block.hash()).unwrap();
    for vault in [SEQUENCER_FEE_VAULT, BASE_FEE_VAULT, L1_FEE_VAULT, OPERATOR_FEE_VAULT] {
        assert!(state.account(vault).unwrap().unwrap().balance > U256::ZERO, "{vault}");
    }
    eventually("the pool is empty", || node.pool.status().pending == 0);
}

#[test]
fn a_strangers_executor_accepts_the_blocks() {
    let node = TestNode::new();
    let stranger = TestNode::new();
    let sequencer = node.sequencer(BlockTime::PerTransaction);
    for nonce in 0..3 {
        node.send(0, nonce);
        let block = sequencer.seal().unwrap();
        stranger.chain.import(block.block.clone()).unwrap();
        stranger.chain.set_forkchoice(block.block.hash(), None, None).unwrap();
    }
    assert_eq!(stranger.chain.head().hash(), node.chain.head().hash());
}

#[test]
fn sequencing_goes_on_after_a_restart() {
    let node = TestNode::new();
    node.send(0, 0);
    let before = node.sequencer(BlockTime::PerTransaction).seal().unwrap();
    let node = node.restart();
    assert_eq!(node.chain.head().hash(), before.block.hash());
    node.send(0, 1);
    let after = node.sequencer(BlockTime::PerTransaction).seal().unwrap();
    assert_eq!(after.block.parent_hash(), before.block.hash());
    assert_eq!(after.block.transactions().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_for_each_transaction() {
    let node = TestNode::new();
    let stop = CancellationToken::new();
    let running = tokio::spawn(node.sequencer(BlockTime::PerTransaction).run(stop.clone()));
    let node = Arc::new(node);
    for nonce in 0..4 {
        node.send(0, nonce);
    }
    let watched = Arc::clone(&node);
    tokio::task::spawn_blocking(move || eventually("four blocks", || watched.chain.head().number == 4))
        .await
        .unwrap();
    for number in 1..=4 {
        assert_eq!(node.chain.block_by_number(number).unwrap().unwrap().transactions().len(), 2);
    }
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_every_so_often_until_told_to_stop() {
    let node = Arc::new(TestNode::new());
    let stop = CancellationToken::new();
    let every = BlockTime::Every(Duration::from_millis(50));
    let running = tokio::spawn(node.sequencer(every).run(stop.clone()));
    let watched = Arc::clone(&node);
    tokio::task::spawn_blocking(move || eventually("three blocks", || watched.chain.head().number >= 3))
        .await
        .unwrap();
    stop.cancel();
    running.await.unwrap();
    let head = node.chain.head().number;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(node.chain.head().number, head);
}

#[test]
fn other_chains_are_refused() {
    let refused = |change: fn(&mut Genesis)| {
        let mut genesis: Genesis = serde_json::from_str(DEV_GENESIS).unwrap();
        change(&mut genesis);
        let executor = Executor::new(Arc::new(ChainSpec::from_genesis(genesis).unwrap()));
        let folder = tempfile::tempdir().unwrap();
        let chain = Chain::open(executor.clone(), folder.path(), ChainConfig::default()).unwrap();
        let pool = Pool::open(executor.clone(), chain.clone(), PoolConfig::default()).unwrap();
        let builder = PayloadBuilder::new(executor, chain, pool, PayloadConfig::default());
        DevSequencer::new(builder, DevConfig::default()).unwrap_err()
    };
    let not_dev = refused(|genesis| {
        genesis.config.extra_fields.remove("economyTime");
        genesis.config.extra_fields.remove("tributary");
    });
    assert!(matches!(not_dev, DevError::NotDev(161_299)), "{not_dev}");
    let early = refused(|genesis| {
        let later = genesis.timestamp + 100;
        genesis.config.extra_fields.insert("jovianTime".into(), later.into());
        genesis.config.extra_fields.insert("karstTime".into(), later.into());
        genesis.config.osaka_time = None;
        genesis.extra_data =
            tributary_spec::ExtraData::Holocene(tributary_spec::Eip1559Params::new(250, 6).unwrap()).encode();
    });
    assert!(matches!(early, DevError::BeforeJovian), "{early}");
}
