//! Every rule of a block, broken one at a time.

use alloy_consensus::{Header, proofs::calculate_transaction_root};
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, Sealable, TxKind, U256};
use tributary_evm::{BodyError, ExecutedBlock, HeaderError, ImportError, InvalidBlock, Severity, TxFault};
use tributary_spec::{BlockBody, ExtraDataError, RecoveredBlock};

use crate::{
    chain::TestChain,
    txs::{COUNTER, deposit, eip1559, l1_attributes, wallet},
};

/// A chain with a block on it, and a valid child of its head.
fn chain_and_child() -> (TestChain, ExecutedBlock) {
    let mut chain = TestChain::dev();
    chain.extend([eip1559(&wallet(0), 0, TxKind::Create, 0, COUNTER)]);
    let child = chain.build_all([eip1559(&wallet(0), 1, TxKind::Call(wallet(1).address()), 5, Bytes::new())]);
    (chain, child.executed)
}

pub(crate) fn invalid(chain: &TestChain, block: RecoveredBlock) -> InvalidBlock {
    let error = chain.import(block).expect_err("the block is invalid");
    assert_eq!(error.severity(), Severity::Reject);
    match error {
        ImportError::Invalid(invalid) => invalid,
        other => panic!("not the block's fault: {other}"),
    }
}

/// The child with another header.
pub(crate) fn with_header(child: &ExecutedBlock, change: impl FnOnce(&mut Header)) -> RecoveredBlock {
    let (header, body, senders) = child.block.clone().into_parts();
    let mut header = header.into_inner();
    change(&mut header);
    RecoveredBlock::new_unchecked(header.seal_slow(), body, senders)
}

/// The child with another body, its transactions root following.
pub(crate) fn with_body(
    child: &ExecutedBlock,
    change: impl FnOnce(&mut BlockBody, &mut Vec<Address>),
) -> RecoveredBlock {
    let (header, mut body, mut senders) = child.block.clone().into_parts();
    change(&mut body, &mut senders);
    let mut header = header.into_inner();
    header.transactions_root = calculate_transaction_root(&body.transactions);
    RecoveredBlock::new_unchecked(header.seal_slow(), body, senders)
}

macro_rules! header_rules {
    ($($name:ident: $change:expr => $error:pat,)+) => {$(
        #[test]
        fn $name() {
            let (chain, child) = chain_and_child();
            let broken = invalid(&chain, with_header(&child, $change));
            assert!(matches!(broken, InvalidBlock::Header($error)), "{broken}");
        }
    )+};
}

header_rules! {
    parent_hash: |h| h.parent_hash = B256::ZERO => HeaderError::ParentHash { .. },
    number: |h| h.number += 1 => HeaderError::Number { .. },
    timestamp: |h| h.timestamp -= 2 => HeaderError::Timestamp { .. },
    ommers_hash: |h| h.ommers_hash = B256::ZERO => HeaderError::Ommers,
    difficulty: |h| h.difficulty = U256::from(1) => HeaderError::Difficulty(_),
    nonce: |h| h.nonce = B64::with_last_byte(1) => HeaderError::Nonce,
    gas_limit: |h| h.gas_limit = 1 << 63 => HeaderError::GasLimit(_),
    gas_used_beyond_limit: |h| h.gas_used = h.gas_limit + 1 => HeaderError::GasUsed { .. },
    base_fee: |h| h.base_fee_per_gas = h.base_fee_per_gas.map(|fee| fee + 1) => HeaderError::BaseFee { .. },
    base_fee_missing: |h| h.base_fee_per_gas = None => HeaderError::BaseFee { found: None, .. },
    extra_data_length: |h| h.extra_data = Bytes::new() => HeaderError::ExtraData(ExtraDataError::Length { .. }),
    extra_data_version: |h| h.extra_data = {
        let mut extra = h.extra_data.to_vec();
        extra[0] = 0;
        extra.into()
    } => HeaderError::ExtraData(ExtraDataError::Version { .. }),
    extra_data_zero_denominator: |h| h.extra_data = {
        let mut extra = h.extra_data.to_vec();
        extra[1..5].fill(0);
        extra.into()
    } => HeaderError::ExtraData(ExtraDataError::ZeroDenominator),
    withdrawals_root_missing: |h| h.withdrawals_root = None => HeaderError::WithdrawalsRoot(None),
    blob_gas_used_missing: |h| h.blob_gas_used = None => HeaderError::BlobGasUsed(None),
    da_footprint_beyond_limit: |h| h.blob_gas_used = Some(h.gas_limit + 1) => HeaderError::DaFootprint { .. },
    excess_blob_gas: |h| h.excess_blob_gas = Some(1) => HeaderError::ExcessBlobGas(Some(1)),
    excess_blob_gas_missing: |h| h.excess_blob_gas = None => HeaderError::ExcessBlobGas(None),
    beacon_root_missing: |h| h.parent_beacon_block_root = None => HeaderError::ParentBeaconRoot(None),
    requests_hash: |h| h.requests_hash = Some(B256::ZERO) => HeaderError::RequestsHash(Some(_)),
    requests_hash_missing: |h| h.requests_hash = None => HeaderError::RequestsHash(None),
    block_access_list_hash: |h| h.block_access_list_hash = Some(B256::ZERO) => HeaderError::UnknownField(_),
    slot_number: |h| h.slot_number = Some(1) => HeaderError::UnknownField(_),
}

macro_rules! outcome_rules {
    ($($name:ident: $change:expr => $error:pat,)+) => {$(
        #[test]
        fn $name() {
            let (chain, child) = chain_and_child();
            let broken = invalid(&chain, with_header(&child, $change));
            assert!(matches!(broken, $error), "{broken}");
        }
    )+};
}

outcome_rules! {
    gas_used: |h| h.gas_used += 1 => InvalidBlock::GasUsed { .. },
    da_footprint: |h| h.blob_gas_used = Some(0) => InvalidBlock::DaFootprint { claimed: 0, .. },
    receipts_root: |h| h.receipts_root = B256::ZERO => InvalidBlock::ReceiptsRoot { .. },
    logs_bloom: |h| h.logs_bloom = Bloom::repeat_byte(1) => InvalidBlock::LogsBloom { .. },
    state_root: |h| h.state_root = B256::ZERO => InvalidBlock::StateRoot { .. },
    withdrawals_root: |h| h.withdrawals_root = Some(B256::ZERO) => InvalidBlock::WithdrawalsRoot { .. },
    transactions_root: |h| h.transactions_root = B256::ZERO =>
        InvalidBlock::Body(BodyError::TransactionsRoot { .. }),
    // Fields no check constrains, but the state commits to.
    beacon_root_is_in_the_state: |h| h.parent_beacon_block_root = Some(B256::ZERO) => InvalidBlock::StateRoot { .. },
    coinbase_is_in_the_state: |h| h.beneficiary = Address::repeat_byte(5) => InvalidBlock::StateRoot { .. },
}

macro_rules! body_rules {
    ($($name:ident: $change:expr => $error:pat,)+) => {$(
        #[test]
        fn $name() {
            let (chain, child) = chain_and_child();
            let broken = invalid(&chain, with_body(&child, $change));
            assert!(matches!(broken, $error), "{broken}");
        }
    )+};
}

body_rules! {
    ommers: |body, _| body.ommers.push(Header::default()) => InvalidBlock::Body(BodyError::Ommers),
    withdrawals_missing: |body, _| body.withdrawals = None => InvalidBlock::Body(BodyError::Withdrawals),
    withdrawals: |body, _| body.withdrawals = Some(vec![Default::default()].into()) =>
        InvalidBlock::Body(BodyError::Withdrawals),
    senders: |_, senders| { senders.pop(); } =>
        InvalidBlock::Body(BodyError::Senders { senders: 1, transactions: 2 }),
    a_nonce_used_twice: |body, senders| {
        body.transactions.push(body.transactions[1].clone());
        senders.push(senders[1]);
    } => InvalidBlock::Transaction { index: 2, fault: TxFault::Invalid(_), .. },
    more_gas_than_the_block_has: |body, senders| {
        let greedy = deposit(Address::ZERO, TxKind::Call(Address::ZERO), 0, 0, 60_000_000, Bytes::new(), 77);
        senders.push(greedy.signer());
        body.transactions.push(greedy.into_inner());
    } => InvalidBlock::Transaction { index: 2, fault: TxFault::Gas { .. }, .. },
    a_transaction_of_lagoon: |body, senders| {
        let tx = op_alloy_consensus::TxPostExec::default();
        body.transactions.push(tributary_spec::Tx::PostExec(tx.seal_slow()));
        senders.push(Address::ZERO);
    } => InvalidBlock::Body(BodyError::TransactionType { index: 2, ty: 0x7d }),
}

/// The chain whose Karst begins with its second block.
fn karst_at_block_two() -> TestChain {
    let mut chain = TestChain::dev_with(|genesis| {
        let time = genesis.timestamp + 4;
        genesis.config.extra_fields.insert("karstTime".into(), time.into());
        genesis.config.osaka_time = Some(time);
    });
    chain.extend([eip1559(&wallet(0), 0, TxKind::Call(Address::ZERO), 0, Bytes::new())]);
    chain
}

#[test]
fn a_user_transaction_in_the_first_block_of_a_fork() {
    let chain = karst_at_block_two();
    let built = chain.build_all([]).executed;
    let smuggled = with_body(&built, |body, senders| {
        let tx = eip1559(&wallet(0), 1, TxKind::Call(Address::ZERO), 0, Bytes::new());
        senders.push(tx.signer());
        body.transactions.push(tx.into_inner());
    });
    let broken = invalid(&chain, smuggled);
    assert!(
        matches!(broken, InvalidBlock::Body(BodyError::UserTransactionAtActivation { index: 1 })),
        "{broken}"
    );
    chain.import(built.block).unwrap();
}

#[test]
fn the_first_block_of_a_fork_takes_nothing_from_the_pool() {
    let mut chain = karst_at_block_two();
    let tx = eip1559(&wallet(0), 1, TxKind::Call(Address::ZERO), 0, Bytes::new());
    let block = chain.build_all([tx.clone()]).executed;
    assert_eq!(block.block.transactions().len(), 1);
    chain.advance(&block);
    assert_eq!(chain.extend([tx]).block.transactions().len(), 2);
}

/// The one field that neither a check nor the state binds: the sequencer takes it from L1, and only a rollup node knows L1.
#[test]
fn the_mix_hash_is_whatever_the_sequencer_says() {
    let (chain, child) = chain_and_child();
    let other = with_header(&child, |header| header.mix_hash = B256::repeat_byte(5));
    assert_ne!(other.hash(), child.block.hash());
    chain.import(other).unwrap();
}

#[test]
fn a_block_without_transactions_is_valid() {
    let chain = TestChain::dev();
    let mut attributes = chain.attributes();
    attributes.transactions.clear();
    let built = chain.build(attributes, &mut ()).unwrap();
    chain.import(built.executed.block).unwrap();
}

#[test]
fn two_deposits_of_one_source_are_two_transactions() {
    let chain = TestChain::dev();
    let mut attributes = chain.attributes();
    attributes.transactions.push(l1_attributes(1));
    let built = chain.build(attributes, &mut ()).unwrap();
    chain.import(built.executed.block).unwrap();
}
