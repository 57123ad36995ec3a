//! Payload jobs.

use alloy_consensus::transaction::Recovered;
use alloy_primitives::{B64, B256, Bytes, Sealable, TxKind, U256};
use alloy_rpc_types_engine::PayloadId;
use op_alloy_consensus::TxDeposit;
use tributary_builder::{DevL1, PayloadError};
use tributary_evm::{BuildAttributes, BuildError, DaCaps, Severity};
use tributary_spec::{
    ChainSpec, Tx,
    predeploys::{DEPOSITOR, L1_BLOCK, SEQUENCER_FEE_VAULT},
};

use crate::node::{TestNode, eventually, same, transfer};

fn id(byte: u8) -> PayloadId {
    PayloadId(B64::with_last_byte(byte))
}

/// Attributes of block 1, two seconds after genesis.
fn attributes() -> BuildAttributes {
    let spec = ChainSpec::dev();
    let genesis = spec.genesis_header();
    let timestamp = genesis.timestamp + 2;
    let l1 = DevL1::new(&spec).attributes(genesis, None, timestamp);
    BuildAttributes {
        timestamp,
        fee_recipient: SEQUENCER_FEE_VAULT,
        parent_beacon_block_root: Some(B256::ZERO),
        gas_limit: genesis.gas_limit,
        eip1559_params: Some(B64::ZERO),
        min_base_fee: Some(0),
        transactions: vec![Recovered::new_unchecked(Tx::Deposit(l1.deposit().seal_slow()), DEPOSITOR)],
        ..BuildAttributes::default()
    }
}

fn genesis() -> B256 {
    ChainSpec::dev().genesis_hash()
}

#[test]
fn without_the_pool_the_payload_is_final_at_once() {
    let node = TestNode::new();
    node.send(0, 0);
    let attributes = BuildAttributes { no_tx_pool: true, ..attributes() };
    node.builder.start(id(1), genesis(), attributes).unwrap();
    let payload = node.builder.resolve(id(1)).unwrap();
    assert_eq!(payload.executed.block.transactions().len(), 1);
    assert_eq!(payload.fees, U256::ZERO);
}

#[test]
fn a_job_fills_from_the_pool_and_goes_on_filling() {
    let node = TestNode::new();
    node.send(0, 0);
    node.builder.start(id(1), genesis(), attributes()).unwrap();
    let first = node.builder.resolve(id(1)).unwrap();
    assert!(same(&first, &node.builder.resolve(id(1)).unwrap()), "a resolved job does not change");

    node.builder.start(id(2), genesis(), attributes()).unwrap();
    node.send(1, 0);
    node.send(1, 1);
    std::thread::sleep(std::time::Duration::from_millis(500));
    let filled = node.builder.resolve(id(2)).unwrap();
    assert_eq!(filled.executed.block.transactions().len(), 4);
    assert!(filled.fees > U256::ZERO);
}

#[test]
fn a_built_block_becomes_the_head_without_being_executed_again() {
    let node = TestNode::new();
    node.send(0, 0);
    node.builder.start(id(1), genesis(), attributes()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let built = node.builder.resolve(id(1)).unwrap();
    let hash = built.executed.block.hash();
    node.chain.insert(built.executed.clone()).unwrap();
    node.chain.set_forkchoice(hash, None, None).unwrap();
    assert_eq!(node.chain.head().hash(), hash);
    eventually("the pool drops what is mined", || node.pool.status().pending == 0);
}

#[test]
fn the_same_id_is_the_same_job() {
    let node = TestNode::new();
    let closed = BuildAttributes { no_tx_pool: true, ..attributes() };
    node.builder.start(id(1), genesis(), closed.clone()).unwrap();
    let other = BuildAttributes { timestamp: closed.timestamp + 1, ..closed };
    node.builder.start(id(1), genesis(), other).unwrap();
    let payload = node.builder.resolve(id(1)).unwrap();
    assert_eq!(payload.executed.block.header().timestamp, attributes().timestamp);
}

#[test]
fn the_oldest_job_makes_room() {
    let node = TestNode::new();
    for byte in 0..20 {
        node.builder.start(id(byte), genesis(), attributes()).unwrap();
    }
    assert!(matches!(node.builder.resolve(id(0)), Err(PayloadError::UnknownPayload(_))));
    node.builder.resolve(id(19)).unwrap();
}

#[test]
fn unknown_parents_and_payloads_are_told_apart() {
    let node = TestNode::new();
    let parent = B256::repeat_byte(9);
    let unknown = node.builder.start(id(1), parent, attributes());
    assert!(matches!(unknown, Err(PayloadError::UnknownParent(hash)) if hash == parent));
    assert!(matches!(node.builder.resolve(id(1)), Err(PayloadError::UnknownPayload(_))));
}

#[test]
fn a_forced_transaction_that_cannot_run_is_an_error_and_no_job() {
    let node = TestNode::new();
    let mut attributes = attributes();
    let sender = alloy_consensus::transaction::SignerRecoverable::recover_signer(&transfer(0, 7)).unwrap();
    attributes.transactions.push(Recovered::new_unchecked(transfer(0, 7), sender));
    let error = node.builder.start(id(1), genesis(), attributes).unwrap_err();
    let PayloadError::Build(error @ BuildError::Forced { index: 1, .. }) = error else { panic!("{error}") };
    assert_eq!(error.severity(), Severity::Reject);
    assert!(matches!(node.builder.resolve(id(1)), Err(PayloadError::UnknownPayload(_))));
}

#[test]
fn the_batchers_limits_reach_the_builder() {
    let node = TestNode::new();
    node.send(0, 0);
    node.builder.set_da_caps(DaCaps { max_tx: Some(1), max_block: None });
    node.builder.start(id(1), genesis(), attributes()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(node.builder.resolve(id(1)).unwrap().executed.block.transactions().len(), 1);
    node.builder.set_da_caps(DaCaps::default());
    node.builder.start(id(2), genesis(), attributes()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(node.builder.resolve(id(2)).unwrap().executed.block.transactions().len(), 2);
}

#[test]
fn a_deposit_to_l1block_alone_is_a_block() {
    let node = TestNode::new();
    let deposit = TxDeposit {
        from: DEPOSITOR,
        to: TxKind::Call(L1_BLOCK),
        gas_limit: 100_000,
        input: Bytes::new(),
        ..TxDeposit::default()
    };
    let deposit = Recovered::new_unchecked(Tx::Deposit(deposit.seal_slow()), DEPOSITOR);
    let attributes = BuildAttributes { transactions: vec![deposit], ..attributes() };
    node.builder.start(id(1), genesis(), attributes).unwrap();
    let block = node.builder.resolve(id(1)).unwrap().executed.block.clone();
    assert_eq!(block.transactions().len(), 1);
}
