//! Transactions that no block may carry, one for each rule, in a block that is right otherwise.

use alloy_consensus::{TxEip1559, TxEip7702, transaction::Recovered};
use alloy_primitives::{Address, Bytes, TxKind, U256};
use op_revm::OpTransactionError;
use revm::context_interface::result::InvalidTransaction;
use tributary_evm::{InvalidBlock, TxFault};
use tributary_spec::{GenesisAccount, OpHardfork, Tx};

use crate::{
    build::noise,
    chain::TestChain,
    invalid::{invalid, with_body},
    txs::{CHAIN_ID, FEE_CAP, eip7702, sign, wallet},
};

const GAS: u64 = 500_000;

/// A transfer of nothing.
fn transfer() -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        gas_limit: GAS,
        max_fee_per_gas: FEE_CAP,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::ZERO),
        ..TxEip1559::default()
    }
}

/// What is wrong with the last of some transactions, after the deposit that opens the block; the others run.
fn fault(chain: &TestChain, txs: impl IntoIterator<Item = Recovered<Tx>>) -> TxFault {
    let child = chain.build_all([]).executed;
    let mut last = 0;
    let block = with_body(&child, |body, senders| {
        for tx in txs {
            senders.push(tx.signer());
            body.transactions.push(tx.into_inner());
        }
        last = senders.len() - 1;
    });
    match invalid(chain, block) {
        InvalidBlock::Transaction { index, fault, .. } if index == last => fault,
        other => panic!("{other}"),
    }
}

fn base(fault: TxFault) -> InvalidTransaction {
    match fault {
        TxFault::Invalid(OpTransactionError::Base(invalid)) => invalid,
        other => panic!("{other:?}"),
    }
}

macro_rules! transaction_rules {
    ($($name:ident: $change:expr => $error:pat,)+) => {$(
        #[test]
        fn $name() {
            let (mut tx, change): (TxEip1559, fn(&mut TxEip1559)) = (transfer(), $change);
            change(&mut tx);
            let fault = base(fault(&TestChain::dev(), [sign(&wallet(2), tx)]));
            assert!(matches!(fault, $error), "{fault:?}");
        }
    )+};
}

transaction_rules! {
    a_nonce_that_is_not_next: |tx| tx.nonce = 1 => InvalidTransaction::NonceTooHigh { tx: 1, state: 0 },
    another_chains_id: |tx| tx.chain_id = 10 => InvalidTransaction::InvalidChainId,
    more_value_than_there_is: |tx| tx.value = U256::from(1_u128 << 120) =>
        InvalidTransaction::LackOfFundForMaxFee { .. },
    more_value_than_can_be: |tx| tx.value = U256::MAX =>
        InvalidTransaction::LackOfFundForMaxFee { .. } | InvalidTransaction::OverflowPaymentInTransaction,
    a_fee_that_nobody_can_pay: |tx| tx.max_fee_per_gas = 1 << 100 => InvalidTransaction::LackOfFundForMaxFee { .. },
    a_fee_cap_below_the_base_fee: |tx| (tx.max_fee_per_gas, tx.max_priority_fee_per_gas) = (1, 0) =>
        InvalidTransaction::GasPriceLessThanBasefee,
    a_tip_above_the_fee_cap: |tx| tx.max_priority_fee_per_gas = tx.max_fee_per_gas + 1 =>
        InvalidTransaction::PriorityFeeGreaterThanMaxFee,
    less_gas_than_a_transaction_costs: |tx| tx.gas_limit = 20_999 =>
        InvalidTransaction::CallGasCostMoreThanGasLimit { .. },
    less_gas_than_its_data_costs_at_least: |tx| (tx.input, tx.gas_limit) = (vec![1; 1_000].into(), 40_000) =>
        InvalidTransaction::GasFloorMoreThanGasLimit { .. },
    more_gas_than_one_transaction_may_use: |tx| tx.gas_limit = (1 << 24) + 1 =>
        InvalidTransaction::TxGasLimitGreaterThanCap { .. },
    too_long_an_init_code: |tx| (tx.to, tx.input, tx.gas_limit) = (TxKind::Create, vec![0; 49_153].into(), 5_000_000) =>
        InvalidTransaction::CreateInitCodeSizeLimit,
}

#[test]
fn a_nonce_that_was_used() {
    let (first, again) = (transfer(), TxEip1559 { value: U256::from(1), ..transfer() });
    let fault = base(fault(&TestChain::dev(), [sign(&wallet(2), first), sign(&wallet(2), again)]));
    assert!(matches!(fault, InvalidTransaction::NonceTooLow { tx: 0, state: 1 }), "{fault:?}");
}

/// The dev chain with another account of the second wallet.
fn with_account(account: GenesisAccount) -> TestChain {
    TestChain::dev_with(|genesis| drop(genesis.alloc.insert(wallet(2).address(), account)))
}

#[test]
fn a_sender_that_has_code() {
    let rich = GenesisAccount { balance: U256::from(1_u128 << 80), ..GenesisAccount::default() };
    let chain = with_account(GenesisAccount { code: Some(Bytes::from_static(&[0])), ..rich });
    let fault = base(fault(&chain, [sign(&wallet(2), transfer())]));
    assert!(matches!(fault, InvalidTransaction::RejectCallerWithCode), "{fault:?}");
}

#[test]
fn a_nonce_that_has_no_next() {
    let chain = with_account(GenesisAccount {
        balance: U256::from(1_u128 << 80),
        nonce: Some(u64::MAX),
        ..GenesisAccount::default()
    });
    let fault = base(fault(&chain, [sign(&wallet(2), TxEip1559 { nonce: u64::MAX, ..transfer() })]));
    assert!(matches!(fault, InvalidTransaction::NonceOverflowInTransaction), "{fault:?}");
}

/// Gas and value alone are paid for, the fees for L1 and of the operator are not.
#[test]
fn a_sender_that_cannot_pay_for_l1() {
    let balance = U256::from(u128::from(GAS) * FEE_CAP);
    let chain = with_account(GenesisAccount { balance, ..GenesisAccount::default() });
    let fault = base(fault(&chain, [sign(&wallet(2), transfer())]));
    assert!(matches!(fault, InvalidTransaction::LackOfFundForMaxFee { .. }), "{fault:?}");
}

#[test]
fn a_delegation_of_nobody() {
    let tx =
        TxEip7702 { chain_id: CHAIN_ID, gas_limit: GAS, max_fee_per_gas: FEE_CAP, ..TxEip7702::default() };
    let fault = base(fault(&TestChain::dev(), [sign(&wallet(2), tx)]));
    assert!(matches!(fault, InvalidTransaction::EmptyAuthorizationList), "{fault:?}");
}

#[test]
fn a_delegation_before_isthmus() {
    let (chain, _) = TestChain::at_first_block_of(OpHardfork::Holocene);
    let fault = base(fault(&chain, [eip7702(&wallet(2), 0, &wallet(3), 0, Address::ZERO)]));
    assert!(matches!(fault, InvalidTransaction::Eip7702NotSupported), "{fault:?}");
}

#[test]
fn more_data_than_the_block_has_room_for() {
    let heavy = |nonce| TxEip1559 { nonce, gas_limit: 6_000_000, input: noise(100_000), ..transfer() };
    let fault = fault(&TestChain::dev(), [sign(&wallet(2), heavy(0)), sign(&wallet(2), heavy(1))]);
    assert!(matches!(fault, TxFault::DaFootprint { .. }), "{fault:?}");
}
