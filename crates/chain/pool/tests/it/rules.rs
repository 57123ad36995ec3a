//! What the head's state has to say about a transaction.

use crate::chain::{CHEAP, L1, TestChain, account, transfer};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip7702};
use alloy_eips::{Encodable2718, eip7702::Authorization};
use alloy_primitives::{Address, TxKind, U256};
use alloy_signer::SignerSync;
use tributary_pool::{Origin, PoolConfig, PoolError, Severity};
use tributary_spec::Tx;

/// Gives a fresh account some wei and answers its index.
fn fund(chain: &TestChain, index: u32, wei: U256) {
    let nonce = chain.pool.next_nonce(&account(0).address()).unwrap_or_else(|| {
        let state = chain.chain.state_at(chain.chain.head().hash()).unwrap();
        state.account(account(0).address()).unwrap().unwrap().nonce
    });
    let gift = TxEip1559 { to: TxKind::Call(account(index).address()), value: wei, ..transfer(nonce, 1) };
    chain.add(0, gift).unwrap();
    chain.mine();
}

#[test]
fn the_l1_fee_and_the_operator_fee_have_to_be_paid_too() {
    let chain = TestChain::new(PoolConfig::default());
    let tx = transfer(0, 0);
    let gas = U256::from(tx.gas_limit) * U256::from(tx.max_fee_per_gas) + tx.value;
    let l1 = L1 { base_fee: 1_000_000_000, operator_constant: 12_345 };
    chain.mine_with(l1);
    fund(&chain, 20, gas);
    let PoolError::InsufficientFunds { have, want } = chain.add(20, tx.clone()).unwrap_err() else {
        panic!()
    };
    assert_eq!(have, gas);
    assert!(want > gas, "L1 fee");
    let cheap = want - gas;
    chain.mine_with(l1);
    let PoolError::InsufficientFunds { want: dear, .. } = chain.add(20, tx.clone()).unwrap_err() else {
        panic!()
    };
    assert_eq!(dear - gas - cheap, U256::from(12_345), "operator fee");
    chain.mine();
    fund(&chain, 20, cheap);
    chain.add(20, tx).unwrap();
}

#[test]
fn what_l1_makes_too_dear_leaves_with_its_descendants() {
    let chain = TestChain::new(PoolConfig::default());
    chain.mine();
    fund(&chain, 21, U256::from(10u128.pow(16)));
    for nonce in 0..3 {
        chain.add(21, TxEip1559 { max_fee_per_gas: 2_000_000_000, ..transfer(nonce, 1) }).unwrap();
    }
    assert_eq!(chain.pool.status().pending, 3);
    let dear = L1 { base_fee: 100_000_000_000_000_000, ..CHEAP };
    chain.mine_on(chain.chain.head().hash(), 2, false, dear);
    assert_eq!(chain.pool.status(), Default::default());
}

#[test]
fn a_delegated_sender_has_one_transaction_in_flight() {
    let chain = TestChain::new(PoolConfig::default());
    let authorization = Authorization {
        chain_id: U256::from(chain.spec.chain_id()),
        address: Address::repeat_byte(0x22),
        nonce: 0,
    };
    let signature = account(3).sign_hash_sync(&authorization.signature_hash()).unwrap();
    let delegate = TxEip7702 {
        chain_id: chain.spec.chain_id(),
        gas_limit: 100_000,
        max_fee_per_gas: 20_000_000_000,
        authorization_list: vec![authorization.into_signed(signature)],
        ..TxEip7702::default()
    };
    let signature = account(2).sign_hash_sync(&delegate.signature_hash()).unwrap();
    let raw = Tx::Eip7702(delegate.into_signed(signature)).encoded_2718();
    chain.pool.add_raw(&raw, Origin::Local).unwrap();
    chain.add(3, transfer(0, 1)).expect("one is allowed while the delegation waits");
    assert!(matches!(chain.add(3, transfer(1, 1)).unwrap_err(), PoolError::InflightLimit));
    chain.pool.remove(&chain.pool.content().pending[&account(3).address()][&0].hash());
    chain.mine();
    assert!(matches!(chain.add(3, transfer(2, 1)).unwrap_err(), PoolError::DelegatedGap));
    chain.add(3, transfer(1, 1)).unwrap();
    let error = chain.add(3, transfer(2, 1)).unwrap_err();
    assert_eq!(error.severity(), Severity::Retry);
    chain.mine();
    chain.add(3, transfer(2, 1)).unwrap();
}

#[test]
fn gas_is_bounded_by_karsts_cap() {
    let chain = TestChain::new(PoolConfig::default());
    let tx = |gas_limit| TxEip1559 { gas_limit, max_fee_per_gas: 1_000_000_000, ..transfer(0, 0) };
    assert!(matches!(
        chain.add(0, tx((1 << 24) + 1)).unwrap_err(),
        PoolError::GasLimitTooHigh { cap: 16_777_216, .. }
    ));
    chain.add(0, tx(1 << 24)).unwrap();
}

#[test]
fn floor_gas_is_asked_for() {
    let chain = TestChain::new(PoolConfig::default());
    let input = vec![0xffu8; 1_000];
    let tx = |gas_limit| TxEip1559 { gas_limit, input: input.clone().into(), ..transfer(0, 0) };
    assert!(matches!(chain.add(0, tx(36_999)).unwrap_err(), PoolError::IntrinsicGas { want: 37_000, .. }));
    assert!(matches!(chain.add(0, tx(60_999)).unwrap_err(), PoolError::FloorDataGas { want: 61_000, .. }));
    chain.add(0, tx(61_000)).unwrap();
}
