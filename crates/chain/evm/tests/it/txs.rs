//! Wallets and transactions.

use alloy_consensus::{
    SignableTransaction, Signed, TxEip1559, TxEip2930, TxEip7702, TxLegacy, transaction::Recovered,
};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Sealable, TxKind, U256, hex, keccak256};
use alloy_signer::{Signature, SignerSync};
use alloy_signer_local::PrivateKeySigner;
use op_alloy_consensus::TxDeposit;
use tributary_spec::{
    Tx,
    predeploys::{DEPOSITOR, L1_BLOCK},
};

pub(crate) const CHAIN_ID: u64 = 161_299;

/// Well above any base fee of these tests.
pub(crate) const FEE_CAP: u128 = 100_000_000_000;

/// `setL1BlockValuesJovian` as op-node sends it: operator fee scalar 2000 and constant 500, DA footprint scalar 400.
const L1_ATTRIBUTES: [u8; 178] = hex!(
    "3db6be2b00000558000c5fc50000000000000001000000006b0146860000000000000019000000000000000000000000000000000000"
    "0000000000000000000002227b150000000000000000000000000000000000000000000000000000000000000001fb17962570"
    "6faed028c853aec68e8d8d96885366b8445150d12a0ea9499672b700000000000000000000000070997970c51812dc3a010c7d01"
    "b50e0d17dc79c8000007d000000000000001f40190"
);

const KEYS: [&str; 4] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
];

/// The first four accounts of the dev chain.
pub(crate) fn wallet(index: usize) -> PrivateKeySigner {
    KEYS[index % KEYS.len()].parse().unwrap()
}

/// With whatever signature is right.
pub(crate) fn sign<T>(wallet: &PrivateKeySigner, tx: T) -> Recovered<Tx>
where
    T: SignableTransaction<Signature>,
    Tx: From<Signed<T>>,
{
    let signature = wallet.sign_hash_sync(&tx.signature_hash()).unwrap();
    Recovered::new_unchecked(tx.into_signed(signature).into(), wallet.address())
}

pub(crate) fn legacy(
    wallet: &PrivateKeySigner,
    nonce: u64,
    to: TxKind,
    value: u64,
    input: Bytes,
) -> Recovered<Tx> {
    let value = U256::from(value);
    let tx = TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce,
        gas_price: FEE_CAP,
        gas_limit: 500_000,
        to,
        value,
        input,
    };
    sign(wallet, tx)
}

pub(crate) fn eip2930(wallet: &PrivateKeySigner, nonce: u64, to: TxKind, input: Bytes) -> Recovered<Tx> {
    let tx = TxEip2930 {
        chain_id: CHAIN_ID,
        nonce,
        gas_price: FEE_CAP,
        gas_limit: 500_000,
        to,
        input,
        access_list: vec![alloy_eips::eip2930::AccessListItem {
            address: L1_BLOCK,
            storage_keys: vec![B256::ZERO, B256::with_last_byte(8)],
        }]
        .into(),
        ..TxEip2930::default()
    };
    sign(wallet, tx)
}

pub(crate) fn eip1559(
    wallet: &PrivateKeySigner,
    nonce: u64,
    to: TxKind,
    value: u64,
    input: Bytes,
) -> Recovered<Tx> {
    eip1559_with_gas(wallet, nonce, to, value, input, 500_000)
}

pub(crate) fn eip1559_with_gas(
    wallet: &PrivateKeySigner,
    nonce: u64,
    to: TxKind,
    value: u64,
    input: Bytes,
    gas_limit: u64,
) -> Recovered<Tx> {
    let tx = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit,
        max_fee_per_gas: FEE_CAP,
        max_priority_fee_per_gas: 1_000_000_000,
        to,
        value: U256::from(value),
        input,
        ..TxEip1559::default()
    };
    sign(wallet, tx)
}

/// Delegates `authority` to `code` (the zero address ends a delegation) and calls it.
pub(crate) fn eip7702(
    wallet: &PrivateKeySigner,
    nonce: u64,
    authority: &PrivateKeySigner,
    authority_nonce: u64,
    code: Address,
) -> Recovered<Tx> {
    let authorization =
        Authorization { chain_id: U256::from(CHAIN_ID), address: code, nonce: authority_nonce };
    let signature = authority.sign_hash_sync(&authorization.signature_hash()).unwrap();
    let signed: SignedAuthorization = authorization.into_signed(signature);
    let tx = TxEip7702 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 500_000,
        max_fee_per_gas: FEE_CAP,
        max_priority_fee_per_gas: 2,
        to: authority.address(),
        authorization_list: vec![signed],
        ..TxEip7702::default()
    };
    sign(wallet, tx)
}

/// The deposit that opens a block.
pub(crate) fn l1_attributes(block: u64) -> Recovered<Tx> {
    deposit(DEPOSITOR, TxKind::Call(L1_BLOCK), 0, 0, 1_000_000, Bytes::from_static(&L1_ATTRIBUTES), block)
}

pub(crate) fn deposit(
    from: Address,
    to: TxKind,
    mint: u128,
    value: u64,
    gas_limit: u64,
    input: Bytes,
    salt: u64,
) -> Recovered<Tx> {
    let tx = TxDeposit {
        source_hash: keccak256(salt.to_be_bytes()),
        from,
        to,
        mint,
        value: U256::from(value),
        gas_limit,
        is_system_transaction: false,
        input,
    };
    Recovered::new_unchecked(Tx::Deposit(tx.seal_slow()), from)
}

/// Stores the gas left in slot 0 while it is created; its code is empty.
pub(crate) const STORES_GAS: Bytes = alloy_primitives::bytes!("5a5f5500");

/// Init code of a contract that adds one to slot 0 and logs.
pub(crate) const COUNTER: Bytes =
    alloy_primitives::bytes!("600b600c600039600b6000f3" "5f5460010180" "5f55" "5f5fa0");

/// Init code that reverts.
pub(crate) const REVERTS: Bytes = alloy_primitives::bytes!("5f5ffd");

/// Init code of a contract that reverts when called.
pub(crate) const REVERTER: Bytes = alloy_primitives::bytes!("6003600c60003960036000f3" "5f5ffd");
